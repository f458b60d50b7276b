// SPDX-License-Identifier: Apache-2.0
#include "system_call_count.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>

namespace ropeway_test {
namespace {

// Relaxed throughout: numbers; the thread that is asked about ends before anybody compares them.
constinit std::atomic<std::uint64_t> made{0};
constinit std::atomic<int> last{-1};

void count_call(int /*signal*/, siginfo_t* info, void* /*context*/) {
    made.fetch_add(1, std::memory_order_relaxed);
    last.store(info->si_syscall, std::memory_order_relaxed);
}

/// A thread's first call of malloc or free maps memory, and its end frees some: not later, when
/// that would not be done.
void prepare_allocator() noexcept {
    void* volatile some = std::malloc(64);
    std::free(some);
}

/// Lets pass what a thread needs to end, and the return from the handler; traps all else.
bool trap_system_calls() noexcept {
    constexpr std::array allowed{SYS_rt_sigreturn, SYS_exit,   SYS_exit_group,
                                 SYS_madvise,      SYS_munmap, SYS_rt_sigprocmask};
    std::array<sock_filter, 2 * allowed.size() + 2> program{};
    std::size_t at = 0;
    program[at++] = {BPF_LD | BPF_W | BPF_ABS, 0, 0,
                     static_cast<unsigned>(offsetof(seccomp_data, nr))};
    for (const long number : allowed) {
        program[at++] = {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<unsigned>(number)};
        program[at++] = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
    }
    program[at] = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRAP};
    const sock_fprog all{static_cast<unsigned short>(program.size()), program.data()};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all) == 0;
}

}  // namespace

bool count_system_calls() noexcept {
    prepare_allocator();
    struct sigaction action {};
    action.sa_sigaction = &count_call;
    action.sa_flags = SA_SIGINFO;
    return sigaction(SIGSYS, &action, nullptr) == 0 && trap_system_calls();
}

std::uint64_t system_calls() noexcept { return made.load(std::memory_order_relaxed); }

int last_system_call() noexcept { return last.load(std::memory_order_relaxed); }

}  // namespace ropeway_test
