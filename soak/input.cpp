// SPDX-License-Identifier: Apache-2.0
#include "input.hpp"

#include <string>
#include <utility>

#include <ropeway/runtime/feed_critical.hpp>
#include <ropeway/runtime/feed_error.hpp>
#include <ropeway/runtime/feed_files.hpp>
#include <ropeway/runtime/feed_generated.hpp>

namespace ropeway::soak {

namespace {

/// A feed with execution reports and control events inside its bursts, and when each is due.
class paced_feed final : public input {
  public:
    /// `speed` times the feed's own; 0: everything at once.
    paced_feed(std::unique_ptr<feed> from, double speed) : from_(std::move(from)), speed_(speed) {}

    bool next(input_event& out) override {
        out.event = {};
        if (!from_->next(out.event)) {
            return false;
        }
        if (first_ns_ == 0) {
            first_ns_ = out.event.receive_ns;
        }
        const auto since = static_cast<double>(out.event.receive_ns - first_ns_);
        out.due_ns = speed_ > 0.0 ? static_cast<std::int64_t>(since / speed_) : 0;
        return true;
    }

  private:
    std::unique_ptr<feed> from_;
    double speed_;
    std::int64_t first_ns_ = 0;
};

[[nodiscard]] std::unique_ptr<feed> generated(std::uint64_t seed) {
    generated_feed_params params;
    params.seed = seed;
    return with_critical_events(make_generated_feed(params));
}

/// Events per second of the generator's own clock, over enough of them to average its bursts.
[[nodiscard]] double own_rate(std::uint64_t seed) {
    constexpr int enough = 200'000;
    const auto from = generated(seed);
    market_event event;
    for (int i = 0; i < enough; ++i) {
        event = {};
        if (!from->next(event)) {
            break;
        }
    }
    const feed_stats read = from->stats();
    return static_cast<double>(read.events) * 1e9 /
           static_cast<double>(read.last_receive_ns - read.first_receive_ns);
}

[[nodiscard]] double replay_speed(const options& wanted, const replay_facts& facts) {
    if (wanted.rate) {
        return *wanted.rate * facts.seconds / static_cast<double>(facts.events);
    }
    return wanted.speed.value_or(options::default_speed);
}

}  // namespace

replay_facts inspect_replay(const options& wanted) {
    try {
        const auto from = with_critical_events(open_feed(wanted.replay));
        market_event event;
        while (from->next(event)) {
            event = {};
        }
        const feed_stats read = from->stats();
        replay_facts out;
        out.events = read.events;
        out.seconds = static_cast<double>(read.last_receive_ns - read.first_receive_ns) / 1e9;
        out.speed = replay_speed(wanted, out);
        return out;
    } catch (const feed_error& error) {
        throw usage_error("--replay " + wanted.replay + ": " + error.what());
    }
}

std::unique_ptr<input> make_input(const options& wanted, const std::optional<replay_facts>& replay,
                                  std::uint32_t number, std::uint32_t publishers) {
    if (replay) {
        return std::make_unique<paced_feed>(with_critical_events(open_feed(wanted.replay)),
                                            replay->speed);
    }
    const std::uint64_t seed = wanted.seed + number;
    const double rate = wanted.rate.value_or(options::default_rate);
    const double speed = rate > 0.0 ? rate / publishers / own_rate(seed) : 0.0;
    return std::make_unique<paced_feed>(generated(seed), speed);
}

}  // namespace ropeway::soak
