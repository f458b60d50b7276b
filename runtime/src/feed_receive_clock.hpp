// SPDX-License-Identifier: Apache-2.0
//
// Private: keeps receive stamps from falling and refuses jumps that no recording makes. One feed.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <ropeway/runtime/feed.hpp>
#include <ropeway/runtime/feed_files.hpp>

namespace ropeway {

class receive_clock {
  public:
    explicit receive_clock(const feed_params& params) noexcept
        : max_gap_(params.max_receive_gap.count()),
          max_back_(params.max_receive_step_back.count()) {}

    /// The stamp, raised to the one before if it is a little below it. `where` makes the place of
    /// an error; it is called only then.
    template <class Where>
    [[nodiscard]] std::int64_t accept(std::int64_t stamp, feed_stats& stats, Where&& where) {
        // subtracted as unsigned: two stamps of opposite sign may lie further apart than int64
        // holds
        if (started_ && stamp < latest_) {
            if (distance(stamp, latest_) > limit(max_back_)) {
                refuse(where(), "the receive clock steps back", stamp);
            }
            ++stats.clock_steps_back;
            return latest_;
        }
        if (started_ && distance(latest_, stamp) > limit(max_gap_)) {
            refuse(where(), "the receive clock jumps forth", stamp);
        }
        started_ = true;
        return latest_ = stamp;
    }

  private:
    static std::uint64_t distance(std::int64_t low, std::int64_t high) noexcept {
        return static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low);
    }
    static std::uint64_t limit(std::int64_t bound) noexcept {
        return bound < 0 ? 0 : static_cast<std::uint64_t>(bound);
    }
    [[noreturn]] void refuse(feed_place place, const char* problem, std::int64_t stamp) const {
        throw feed_error(feed_fault::out_of_order, std::move(place),
                         std::string(problem) + " (before: " + std::to_string(latest_) + ")",
                         std::to_string(stamp),
                         "fetch the file again; if it was recorded so, raise max_receive_gap or "
                         "max_receive_step_back");
    }

    std::int64_t max_gap_;
    std::int64_t max_back_;
    std::int64_t latest_ = 0;
    bool started_ = false;
};

}  // namespace ropeway
