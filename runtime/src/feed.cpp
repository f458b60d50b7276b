// SPDX-License-Identifier: Apache-2.0
//
// What all feeds share: counting, the end that stays the end, and the error that stays the error.
#include <ropeway/runtime/feed.hpp>

#include <algorithm>

namespace ropeway {

bool feed::next(market_event& out) {
    if (failure_) {
        throw feed_error(*failure_);
    }
    if (ended_) {
        return false;
    }
    out = market_event{};
    try {
        ended_ = !read(out);
    } catch (const feed_error& error) {
        failure_ = error;
        throw;
    }
    if (ended_) {
        return false;
    }
    if (stats_.events == 0) {
        stats_.first_receive_ns = out.receive_ns;
    }
    stats_.last_receive_ns = out.receive_ns;
    ++stats_.events;
    ++stats_.by_kind[std::min(static_cast<std::size_t>(out.kind), max_event_kinds - 1)];
    return true;
}

}  // namespace ropeway
