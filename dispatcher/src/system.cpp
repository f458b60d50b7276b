// SPDX-License-Identifier: Apache-2.0
#include "system.hpp"

#include <linux/sched.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

#include <ropeway/pool/process_barrier.hpp>

namespace ropeway::detail {

bool prepare_barrier() noexcept { return prepare_process_barrier(); }

void barrier_everywhere() noexcept { process_barrier(); }

void name_this_thread(const std::string& name) noexcept {
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

void ask_for_short_turns() noexcept {
    // The system's sched_attr, first version; the C library of Debian 12 has no name for it.
    struct {
        std::uint32_t size;
        std::uint32_t policy;
        std::uint64_t flags;
        std::int32_t nice;
        std::uint32_t priority;
        std::uint64_t runtime;
        std::uint64_t deadline;
        std::uint64_t period;
    } attr{};
    static_assert(sizeof(attr) == 48);
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0U) != 0 ||
        attr.policy != SCHED_NORMAL) {
        return;  // the host chose another class for its threads, and ours inherited it
    }
    attr.size = sizeof(attr);
    attr.runtime = 100'000;
    static_cast<void>(syscall(SYS_sched_setattr, 0, &attr, 0U));
}

}  // namespace ropeway::detail
