// SPDX-License-Identifier: Apache-2.0
#include "counted.hpp"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>

namespace ropeway::bench {
namespace {

constinit std::atomic<std::uint64_t> allocated{0};
constinit std::atomic<std::uint64_t> called{0};

void count_call(int /*signal*/, siginfo_t* /*info*/, void* /*context*/) {
    called.fetch_add(1, std::memory_order_relaxed);  // relaxed: a number
}

}  // namespace

std::uint64_t allocations() noexcept {
    return allocated.load(std::memory_order_relaxed);  // relaxed: a number
}

std::uint64_t system_calls() noexcept {
    return called.exchange(0, std::memory_order_relaxed);  // relaxed: a number
}

bool count_system_calls() noexcept {
    struct sigaction action {};
    action.sa_sigaction = &count_call;
    action.sa_flags = SA_SIGINFO;
    if (sigaction(SIGSYS, &action, nullptr) != 0) {
        return false;
    }
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

}  // namespace ropeway::bench

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern "C" {
// What the C library calls its own functions.
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t bytes) {
    ropeway::bench::allocated.fetch_add(1, std::memory_order_relaxed);  // relaxed: a number
    return __libc_malloc(bytes);
}
void* calloc(std::size_t n, std::size_t bytes) {
    ropeway::bench::allocated.fetch_add(1, std::memory_order_relaxed);
    return __libc_calloc(n, bytes);
}
void* realloc(void* old, std::size_t bytes) {
    ropeway::bench::allocated.fetch_add(1, std::memory_order_relaxed);
    return __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t align, std::size_t bytes) {
    ropeway::bench::allocated.fetch_add(1, std::memory_order_relaxed);
    return __libc_memalign(align, bytes);
}
}
#endif
