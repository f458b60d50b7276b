// SPDX-License-Identifier: Apache-2.0
//
// The clock of the measurements, and how a measuring thread waits for another: pauses at first,
// then the processor is given up, so that more threads than processors still make way.
#pragma once

#include <chrono>
#include <cstdint>
#include <thread>

#include <ropeway/pool/cache_line.hpp>

namespace ropeway::bench {

/// Starts when made.
class stopwatch {
  public:
    [[nodiscard]] double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    }

  private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Waits a little longer each time; reset() after the wait was worth it.
class patience {
  public:
    void wait() noexcept {
        if (++waits_ < spins) {
            spin_pause();
        } else {
            std::this_thread::yield();
        }
    }
    void reset() noexcept { waits_ = 0; }

  private:
    static constexpr std::uint32_t spins = 64;
    std::uint32_t waits_ = 0;
};

}  // namespace ropeway::bench
