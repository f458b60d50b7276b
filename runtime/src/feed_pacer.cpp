// SPDX-License-Identifier: Apache-2.0
//
// Waiting until a recorded event is due.
#include <ropeway/runtime/feed_pacer.hpp>

#include <algorithm>
#include <limits>
#include <thread>

#include <ropeway/pool/cache_line.hpp>

namespace ropeway {
namespace {

class steady_clock_and_sleep final : public pacing_clock {
  public:
    std::int64_t now_ns() noexcept override {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(
                   std::chrono::steady_clock::now().time_since_epoch())
            .count();
    }
    void sleep(std::chrono::nanoseconds time) noexcept override {
        std::this_thread::sleep_for(time);
    }
    void spin() noexcept override { spin_pause(); }
};

}  // namespace

pacing_clock& steady_pacing_clock() noexcept {
    static steady_clock_and_sleep clock;
    return clock;
}

replay_pacer::replay_pacer(pacer_params params, pacing_clock& clock) noexcept
    : params_(params), clock_(&clock) {
    if (!(params_.speed > 0)) {
        params_.speed = 0;
    }  // also what is not a number
    params_.max_slice = std::max(params_.max_slice, std::chrono::nanoseconds{1000});
    params_.spin = std::max(params_.spin, std::chrono::nanoseconds{0});
}

void replay_pacer::restart() noexcept { started_ = false; }

std::int64_t replay_pacer::due_of(std::int64_t receive_ns) const noexcept {
    if (receive_ns <= first_stamp_) {
        return origin_;
    }
    const auto elapsed =
        static_cast<std::uint64_t>(receive_ns) - static_cast<std::uint64_t>(first_stamp_);
    const double scaled = static_cast<double>(elapsed) / params_.speed;
    constexpr auto most = std::numeric_limits<std::int64_t>::max();
    // 2^62 ns are 146 years: later is never
    const auto wait = scaled < 4.6e18 ? static_cast<std::int64_t>(scaled) : most;
    return origin_ > most - wait ? most : origin_ + wait;
}

bool replay_pacer::wait_until(std::int64_t receive_ns, const std::atomic<bool>& stop) noexcept {
    // relaxed here and below: the flag alone is the message, nothing else is read because of it
    if (stop.load(std::memory_order_relaxed)) {
        return false;
    }
    if (params_.speed == 0) {
        return true;
    }
    std::int64_t now = clock_->now_ns();
    if (!started_) {
        started_ = true;
        first_stamp_ = receive_ns;
        origin_ = now;
        due_ = now;
    }
    due_ = std::max(due_, due_of(receive_ns));
    while (now < due_) {
        const auto left = std::chrono::nanoseconds{due_ - now};
        if (left > params_.spin) {
            clock_->sleep(std::min(left - params_.spin, params_.max_slice));
        } else {
            clock_->spin();
        }
        // relaxed: as above
        if (stop.load(std::memory_order_relaxed)) {
            return false;
        }
        now = clock_->now_ns();
    }
    lateness_ = now - due_;
    max_lateness_ = std::max(max_lateness_, lateness_);
    return true;
}

}  // namespace ropeway
