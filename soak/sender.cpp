// SPDX-License-Identifier: Apache-2.0
#include "sender.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "consumer.hpp"

namespace ropeway::soak {

namespace {
/// How long one publish waits before it looks whether the run was ended.
constexpr std::chrono::milliseconds look_up{100};
/// Nearer than this is now: a sleep would come back later.
constexpr std::int64_t soon_ns = 50'000;
constexpr std::int64_t longest_sleep_ns = 50'000'000;
}  // namespace

sender::sender(publisher<market_event> out, std::unique_ptr<input> from, sender_params params,
               const std::atomic<std::uint64_t>& version)
    : out_(std::move(out)),
      from_(std::move(from)),
      params_(params),
      partials_({.name = "partials " + std::to_string(params.number),
                 .slots = 256,
                 .guard = params.guard}),
      orchestrator_(version, partials_.back()) {}

void sender::run(const std::stop_token& stop) {
    if (params_.keep_a_claim) {
        kept_ = out_.claim();
    }
    try {
        publish_all(stop);
    } catch (const std::exception& error) {
        error_ = error.what();  // the file changed since it was inspected
    }
    for (auto& slot : packet_) {
        slot = {};  // what was not sent goes back
    }
    last_ns_ = steady_ns();
    finished_.store(true, std::memory_order_release);  // pairs with finished()
}

void sender::publish_all(const std::stop_token& stop) {
    first_ns_ = steady_ns();
    bool more = from_->next(next_);
    while (more && sequence_ < params_.limit && !stop.stop_requested()) {
        if (!wait_until(first_ns_ + next_.due_ns, stop)) {
            return;
        }
        const std::int64_t now_ns = steady_ns() - first_ns_;
        std::uint32_t count = 0;
        do {
            if (!fill(packet_[count], count)) {
                return;
            }
            ++count;
            more = from_->next(next_);
        } while (more && count < params_.packet && sequence_ + count < params_.limit &&
                 next_.due_ns <= now_ns);
        if (!send({packet_.data(), count}, stop)) {
            return;
        }
    }
}

bool sender::wait_until(std::int64_t due_ns, const std::stop_token& stop) const {
    for (;;) {
        const std::int64_t left = due_ns - steady_ns();
        if (left <= soon_ns) {
            return true;
        }
        if (stop.stop_requested()) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::nanoseconds{std::min(left, longest_sleep_ns)});
    }
}

/// Claims a slot for the next event, which has `ahead` others before it in its packet.
bool sender::fill(claimed<market_event>& slot, std::uint32_t ahead) {
    slot = out_.claim();
    if (!slot) {
        error_ = "no slot to claim";
        return false;
    }
    if (!compose(*slot)) {
        return false;
    }
    slot->publish_ns = steady_ns();
    const stream_class stream = class_of(slot->kind);
    mark(*slot, {params_.number, stream, ++given_[index_of(stream)]}, sequence_ + ahead + 1);
    kinds_[ahead] = slot->kind;
    return true;
}

/// Writes the next event into the claim, with the routing version of now.
bool sender::compose(market_event& into) {
    const market_event& whole = next_.event;
    if (whole.kind != event_kind::quote || whole.side != event_side::none) {
        into = whole;
        orchestrator_.stamp(into);
        return true;
    }
    std::array<pooled<market_event>, 2> sides{partials_.get_for_overwrite(),
                                              partials_.get_for_overwrite()};
    if (!sides[0] || !sides[1]) {
        error_ = "no slot for a partial event";
        return false;
    }
    *sides[0] = whole;
    sides[0]->side = event_side::bid;
    *sides[1] = whole;
    sides[1]->side = event_side::offer;
    sides[1]->price = whole.price2;
    sides[1]->quantity = whole.quantity2;
    if (!orchestrator_.merge(sides, into)) {
        error_ = "the orchestrator refused the two sides of one quote";
        return false;
    }
    if (into.price != whole.price || into.price2 != whole.price2 ||
        into.quantity != whole.quantity || into.quantity2 != whole.quantity2 ||
        into.instrument != whole.instrument) {
        error_ = "the merged quote is not the quote that was taken apart";
        return false;
    }
    return true;
}

bool sender::send(std::span<claimed<market_event>> packet, const std::stop_token& stop) {
    std::size_t done = 0;
    while (done != packet.size()) {
        const publish_result result = out_.publish_n(packet.subspan(done), look_up);
        enter({kinds_.data() + done, result.count});
        done += result.count;
        if (result.count != 0 && result.sequence != sequence_) {
            error_ = "publish gave sequence " + grouped(result.sequence) + " to its event " +
                     grouped(sequence_);
            return false;
        }
        if (result.status != publish_status::sent && result.status != publish_status::full) {
            error_ = "publish ended with: " + std::string{to_string(result.status)};
            return false;
        }
        if (result.status == publish_status::full && stop.stop_requested()) {
            return false;
        }
    }
    return true;
}

void sender::enter(std::span<const event_kind> kinds) {
    for (const event_kind kind : kinds) {
        ++books_.by_kind[kind_index(static_cast<std::uint32_t>(kind))];
        ++books_.last[index_of(class_of(kind))];
    }
    sequence_ += kinds.size();
    sent_.add(kinds.size());
}

}  // namespace ropeway::soak
