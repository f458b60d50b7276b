// SPDX-License-Identifier: Apache-2.0
//
// What the kernel says of processors: which of them this process may use, and how long a thread was
// ready for one and did not get it. Header only. Thread safety: each function is about the calling
// thread.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

namespace ropeway_test {

/// The wait of the thread that made it. Holds a descriptor.
class processor_wait {
  public:
    processor_wait() = default;
    processor_wait(const processor_wait&) = delete;
    processor_wait& operator=(const processor_wait&) = delete;
    ~processor_wait() { ::close(fd_); }
    /// How long that thread was ready to run and did not; 0 where the kernel does not say.
    [[nodiscard]] std::chrono::nanoseconds total() const {
        std::array<char, 64> text{};  // "ran waited slices"
        const auto size = ::pread(fd_, text.data(), text.size(), 0);
        std::int64_t waited = 0;
        if (size > 0) {
            const char* const end = text.data() + size;
            const char* const space = std::find(std::as_const(text).data(), end, ' ');
            std::from_chars(space == end ? end : space + 1, end, waited);
        }
        return std::chrono::nanoseconds{waited};
    }

  private:
    int fd_ = ::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
};

[[nodiscard]] inline std::vector<std::size_t> processors_of_this_process() {
    cpu_set_t set{};
    std::vector<std::size_t> out;
    if (::sched_getaffinity(0, sizeof set, &set) == 0) {
        for (std::size_t one = 0; one < CPU_SETSIZE; ++one) {
            if (CPU_ISSET(one, &set)) {
                out.push_back(one);
            }
        }
    }
    return out;
}

/// The calling thread runs there only from here on.
inline void stay_on(std::size_t processor) {
    cpu_set_t set{};
    CPU_SET(processor, &set);
    (void)::sched_setaffinity(0, sizeof set, &set);
}

}  // namespace ropeway_test
