// SPDX-License-Identifier: Apache-2.0
#include "system_call_count.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
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

#if defined(__x86_64__)
extern "C" const char ropeway_test_passed_on;  // the address behind the one call that passes

/// Makes the call that was trapped, with the arguments it had then.
[[gnu::noinline, gnu::noclone]] long pass_on(long number, const greg_t* with) noexcept {
    long result = number;
    register long fourth __asm__("r10") = with[REG_R10];
    register long fifth __asm__("r8") = with[REG_R8];
    register long sixth __asm__("r9") = with[REG_R9];
    __asm__ volatile("syscall\n.globl ropeway_test_passed_on\nropeway_test_passed_on:"
                     : "+a"(result)
                     : "D"(with[REG_RDI]), "S"(with[REG_RSI]), "d"(with[REG_RDX]), "r"(fourth),
                       "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
    return result;
}

void count_call(int /*signal*/, siginfo_t* info, void* context) {
    made.fetch_add(1, std::memory_order_relaxed);
    last.store(info->si_syscall, std::memory_order_relaxed);
    greg_t* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    registers[REG_RAX] = pass_on(info->si_syscall, registers);
}
#endif

/// A thread's first call of malloc or free maps memory, and its end frees some: not later, when
/// that would not be done.
void prepare_allocator() noexcept {
    void* volatile some = std::malloc(64);
    std::free(some);
}

#if defined(__x86_64__)
/// Lets pass what the handler makes, what a thread needs to end, and the return from the handler;
/// traps all else.
bool trap_system_calls() noexcept {
    constexpr std::array allowed{SYS_rt_sigreturn, SYS_exit,   SYS_exit_group,
                                 SYS_madvise,      SYS_munmap, SYS_rt_sigprocmask};
    std::array<sock_filter, 2 * allowed.size() + 7> program{};
    std::size_t at = 0;
    const auto pass = reinterpret_cast<std::uint64_t>(&ropeway_test_passed_on);
    constexpr auto from = static_cast<unsigned>(offsetof(seccomp_data, instruction_pointer));
    program[at++] = {BPF_LD | BPF_W | BPF_ABS, 0, 0, from};
    program[at++] = {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, static_cast<unsigned>(pass)};
    program[at++] = {BPF_LD | BPF_W | BPF_ABS, 0, 0, from + 4};
    program[at++] = {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<unsigned>(pass >> 32U)};
    program[at++] = {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
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
#endif

}  // namespace

bool count_system_calls() noexcept {
#if defined(__x86_64__)
    prepare_allocator();
    struct sigaction action {};
    action.sa_sigaction = &count_call;
    action.sa_flags = SA_SIGINFO;
    return sigaction(SIGSYS, &action, nullptr) == 0 && trap_system_calls();
#else
    return false;  // the call is made again by its registers, which have other names elsewhere
#endif
}

std::uint64_t system_calls() noexcept { return made.load(std::memory_order_relaxed); }

int last_system_call() noexcept { return last.load(std::memory_order_relaxed); }

}  // namespace ropeway_test
