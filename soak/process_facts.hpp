// SPDX-License-Identifier: Apache-2.0
//
// What the system says about this process and its host: threads, resident memory, processor.
// Linux's /proc; free functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ropeway::soak {

/// Threads of this process, by /proc/self/task.
[[nodiscard]] std::uint64_t thread_count();
/// Joined threads stand in /proc for a moment longer: looks until the number is back, for a second.
[[nodiscard]] std::uint64_t threads_when_settled(std::uint64_t wanted);
/// Processor time of this process so far, all threads, user and system.
[[nodiscard]] double cpu_seconds() noexcept;
/// Resident memory of this process. Allocates nothing.
[[nodiscard]] std::uint64_t resident_bytes() noexcept;
/// System, processor and how many of them this process may use.
[[nodiscard]] std::string host_facts();

/// Resident memory over the course of a run, in a fixed number of samples: when full, every other
/// one goes. One thread.
class memory_track {
  public:
    memory_track();
    void sample(std::uint64_t events) noexcept;

    struct growth {
        std::uint64_t start_bytes = 0;  ///< at 10 % of the events
        std::uint64_t end_bytes = 0;    ///< at the last sample
        std::uint64_t events = 0;       ///< between the two
    };
    [[nodiscard]] growth result() const noexcept;

  private:
    struct point {
        std::uint64_t events = 0;
        std::uint64_t bytes = 0;
    };
    static constexpr std::size_t capacity = 4096;
    std::vector<point> points_;
    std::size_t used_ = 0;
    std::uint64_t calls_ = 0;
    std::uint64_t every_ = 1;
};

}  // namespace ropeway::soak
