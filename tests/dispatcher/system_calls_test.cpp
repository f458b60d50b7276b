// SPDX-License-Identifier: Apache-2.0
//
// In steady state a publisher makes no system call (profile latency). The publishing thread runs
// under a filter that turns each of its calls into a signal, whose handler counts.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <iostream>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::market_event;
using ropeway::overflow;

namespace {

std::atomic<std::uint64_t> calls{0};
std::atomic<int> last_call{-1};

void count_call(int, siginfo_t* info, void*) {
    calls.fetch_add(1, std::memory_order_relaxed);
    last_call.store(info->si_syscall, std::memory_order_relaxed);
}

/// From here on the calling thread's system calls are counted and not made, but for what a thread
/// needs to end. False where the system has no such filter.
[[nodiscard]] bool count_my_calls() {
    struct sigaction action {};
    action.sa_sigaction = &count_call;
    action.sa_flags = SA_SIGINFO;
    if (sigaction(SIGSYS, &action, nullptr) != 0) {
        return false;
    }
    constexpr auto allow = [](unsigned number) {
        return std::array{
            sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number},
            sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
        };
    };
    std::vector<sock_filter> program{
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<unsigned>(offsetof(seccomp_data, nr))}};
    for (const long number : {SYS_rt_sigreturn, SYS_exit, SYS_exit_group, SYS_madvise, SYS_munmap,
                              SYS_rt_sigprocmask}) {
        for (const sock_filter& step : allow(static_cast<unsigned>(number))) {
            program.push_back(step);
        }
    }
    program.push_back({BPF_RET | BPF_K, 0, 0, SECCOMP_RET_TRAP});
    const sock_fprog all{static_cast<unsigned short>(program.size()), program.data()};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &all) == 0;
}

}  // namespace

TEST_CASE("a publisher makes no system call in steady state", "[latency]") {
    if (sanitized) {
        WARN("skipped: a sanitizer's run time makes calls of its own");
        return;
    }
    const auto policy = GENERATE(overflow::block, overflow::drop_oldest);
    auto params = ropeway::params_for(ropeway::profile::latency);
    ropeway::dispatcher<market_event> d{params};
    std::array<tally, 3> got;
    std::vector<ropeway::subscription> subs;
    for (tally& mine : got) {
        subs.push_back(d.subscribe("s", policy, {}, [&mine](const market_event&) { mine.add(); }));
    }
    auto feed = d.publisher("feed");
    d.start();
    enum : int { starting, refused, counted, over };
    std::atomic<int> state{starting};
    std::atomic<std::uint64_t> made{0};
    std::uint64_t sent = 0;
    std::thread publishing{[&] {
        const auto publish = [&](std::uint64_t events) {
            for (std::uint64_t i = 0; i < events; ++i) {
                // Paced, so that no blocking subscription makes it wait.
                for (const tally& one : got) {
                    while (one.get() + 512 < sent) {
                        ropeway::spin_pause();
                    }
                }
                sent += send(feed, i % 16 == 0 ? event_kind::execution_report : event_kind::trade)
                            ? 1U
                            : 0U;
            }
        };
        publish(20'000);  // warm
        if (!count_my_calls()) {
            state = refused;
            return;
        }
        calls = 0;
        publish(200'000);
        made = calls.load();
        state = counted;
        static_cast<void>(sched_yield());  // the counter counts
        made = made.load() * 1000 + (calls.load() - made.load());
        state = over;
    }};
    publishing.join();
    if (state == refused) {
        WARN("skipped: this system refuses a filter of system calls");
    } else {
        INFO("the last one was number " << last_call);
        CHECK(made == 1);  // none, and then the one of the counter's check
        std::cout << made / 1000 << " system calls of the publisher in 200000 events\n";
    }
    CHECK(d.stop(30s).clean());
    CHECK(d.stats().publishers.at(0).published == sent);
}
