// SPDX-License-Identifier: Apache-2.0
#include "consumer.hpp"

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>

namespace ropeway::soak {

consumer::consumer(consumer_params params)
    : params_(std::move(params)),
      throw_below_(static_cast<std::uint64_t>(
          std::llround(params_.throw_percent / 100.0 * static_cast<double>(1ULL << 32U)))),
      streams_(params_.publishers) {}

void consumer::on_duplicate(market_event& event, const delivery& facts) {
    check(event, facts);
    const market_event original = event;
    event.price = ~event.price;
    event.user = 0;
    event.trace = {};
    event.order = ~event.order;
    finish(original);
}

void consumer::on_event(const market_event& event, const delivery& facts) {
    check(event, facts);
    finish(event);
}

void consumer::check(const market_event& event, const delivery& facts) {
    latency_.record(
        static_cast<std::uint64_t>(std::max<std::int64_t>(steady_ns() - event.publish_ns, 0)));
    // Acquire pairs with the flipper's release: a version that was announced before this handler
    // began is seen here.
    const bool planted_stale = params_.planted.what == fault::stale &&
                               stamp::of(event.user).counter >= params_.planted.counter;
    if (!is_critical(event.kind) &&
        (planted_stale ||
         event.routing_version < params_.announced_version->load(std::memory_order_acquire))) {
        ++stale_done_;
    }
    if (params_.planted.what == fault::none) [[likely]] {
        enter(event, facts);
    } else {
        enter_with_fault(event, facts);
    }
}

void consumer::enter(const market_event& event, const delivery& facts) {
    const stamp from = stamp::of(event.user);
    if (checksum(event) != event.order || from.publisher >= params_.publishers ||
        from.stream != class_of(event.kind)) {
        ++corrupt_;
        return;
    }
    if (facts.sequence != event.trace.low || facts.publisher != from.publisher) {
        ++mislabelled_;
    }
    auto& streams = streams_[from.publisher];
    streams[index_of(from.stream)].track.observe(from.counter);
    if (facts.lost_before != 0) {
        // Events that the consumer was told it lost must lie in the gaps it sees.
        stream& market = streams[index_of(stream_class::market)];
        market.told += facts.lost_before;
        told_wrong_ += market.told > market.track.missing() ? 1U : 0U;
    }
}

void consumer::enter_with_fault(const market_event& event, const delivery& facts) {
    const stamp from = stamp::of(event.user);
    const stream_class hit = params_.planted.what == fault::lost_critical ? stream_class::critical
                                                                          : stream_class::market;
    const bool own_stream = from.publisher == 0 && from.stream == hit;
    if (held_ && own_stream) {
        enter(event, facts);
        enter(*held_, held_facts_);
        held_.reset();
        params_.planted.what = fault::none;
        return;
    }
    // At or after: the very event may have been filtered.
    if (!own_stream || params_.planted.what == fault::stale ||
        from.counter < params_.planted.counter) {
        enter(event, facts);
        return;
    }
    if (params_.planted.what == fault::reordered) {
        held_ = std::make_unique<market_event>(event);
        held_facts_ = facts;
        return;
    }
    const fault what = std::exchange(params_.planted.what, fault::none);
    if (what == fault::doubled) {
        enter(event, facts);
        enter(event, facts);
    } else if (what == fault::corrupt) {
        market_event changed = event;
        changed.price ^= 1;
        enter(changed, facts);
    } else if (what != fault::lost && what != fault::lost_critical) {
        enter(event, facts);
    }
}

void consumer::finish(const market_event& event) {
    const std::size_t place = kind_index(static_cast<std::uint32_t>(event.kind));
    handled_.add(1);
    if (throws_on(event.user)) {
        ++failed_[place];
        thrown_.add(1);
        thrown_hash_ += failure_hash(event.trace, static_cast<std::uint32_t>(event.kind),
                                     event.routing_version);
        throw std::runtime_error(planned_throw_text);
    }
    ++done_[place];
    if (params_.dawdle.count() != 0 && !is_critical(event.kind)) {
        std::this_thread::sleep_for(params_.dawdle);
    }
}

bool consumer::throws_on(std::uint64_t word) const noexcept {
    return throw_below_ != 0 &&
           (mix(word + mix(params_.seed + params_.number)) >> 32U) < throw_below_;
}

consumer_counts consumer::books() const {
    consumer_counts out;
    out.name = params_.name;
    out.lossy = params_.dawdle.count() != 0;
    out.done = done_;
    out.failed = failed_;
    out.stale_done = stale_done_;
    out.told_wrong = told_wrong_;
    out.corrupt = corrupt_;
    out.mislabelled = mislabelled_;
    out.thrown_hash = thrown_hash_;
    for (const auto& mine : streams_) {
        auto& counts = out.streams.emplace_back();
        for (std::size_t c = 0; c < stream_classes; ++c) {
            const sequence_track& track = mine[c].track;
            counts[c] = {track.last(), track.missing(), track.doubled(), track.reordered()};
            out.told_lost += mine[c].told;
        }
    }
    return out;
}

}  // namespace ropeway::soak
