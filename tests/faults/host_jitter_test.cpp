// SPDX-License-Identifier: Apache-2.0
//
// The correction that tests of deadlines rely on: a stall of the whole program is told in full,
// also to the thread that runs first after it.
#include "host_jitter.hpp"

#include "child_process.hpp"
#include "ropeway_test.hpp"

#include <algorithm>
#include <csignal>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
using ropeway_test::pause_for;

/// A child stops this program for 30 ms at a time, until `ended` is closed at this end.
/// @return its process
pid_t stall_this_program(const int (&ended)[2]) {
    const pid_t stalled = ::getpid();
    const pid_t child = ::fork();
    if (child == 0) {
        ::close(ended[1]);
        pollfd end{ended[0], 0, 0};
        while (::poll(&end, 1, 10) == 0) {
            ::kill(stalled, SIGSTOP);
            pause_for(30ms);
            ::kill(stalled, SIGCONT);
        }
        ::_exit(0);
    }
    return child;
}

}  // namespace

TEST_CASE("a stall is taken off, also where it ended this moment") {
    int ended[2]{};
    REQUIRE(::pipe2(ended, O_CLOEXEC) == 0);
    const pid_t child = stall_this_program(ended);
    int stalled = 0;
    auto worst = -1'000'000'000ns;
    const auto until = std::chrono::steady_clock::now() + ropeway_test::patience;
    while (child > 0 && stalled < 10 && std::chrono::steady_clock::now() < until) {
        std::chrono::nanoseconds lasted{};
        worst = std::max(worst, ropeway_test::overrun(5ms, [&] {
                             const auto begun = std::chrono::steady_clock::now();
                             pause_for(5ms);
                             lasted = std::chrono::steady_clock::now() - begun;
                         }));
        stalled += lasted > 20ms ? 1 : 0;
    }
    ::close(ended[0]);
    ::close(ended[1]);
    CHECK(::waitpid(child, nullptr, 0) == child);
    CHECK(stalled == 10);
    CHECK(worst <= ropeway_test::allowed_overrun);
}
