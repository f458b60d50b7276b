// SPDX-License-Identifier: Apache-2.0
//
// Reports: counters, the replaceable handler, policies, and the one paragraph for people.
#include <ropeway/pool/violation.hpp>

#include <ropeway_test.hpp>

#include <thread>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ropeway/pool/site.hpp>

#include "pool_test.hpp"

using namespace ropeway;

namespace {

violation example() {
    violation what;
    what.kind = violation_kind::write_after_put;
    std::string{"quotes"}.copy(what.pool.data(), what.pool.size() - 1);
    what.index = 7;
    what.generation_held = 3;
    what.generation_found = 3;
    what.first = {slot_action::put, intern_site("feed.cpp", 42), 0, 1204};
    what.second = {slot_action::wrote, intern_site("strategy.cpp", 9), 0, 1305};
    what.offset = 16;
    what.found = 0x2A;
    what.expected = 0xDEAD'BEEF'DEAD'BEEF;
    return what;
}

}  // namespace

TEST_CASE("a report names both culprits, the place and the bytes") {
    violation what = example();
    REQUIRE(to_string(what) ==
            "write after put: pool \"quotes\", slot 7, generation held 3, found 3 (free). "
            "First: put by feed.cpp:42 on unknown thread at 1.204 s; "
            "then: written to by strategy.cpp:9 on unknown thread at 1.305 s. "
            "Payload offset 16: found 000000000000002a, expected deadbeefdeadbeef.");
    what.history[0] = {slot_action::acquired, intern_site("strategy.cpp", 9), 0, 1100, 3};
    what.history_size = 1;
    what.first_stack[0] = reinterpret_cast<const void*>(0x1234);
    const std::string text = to_string(what);
    REQUIRE(text.find(" History: generation 3 acquired by strategy.cpp:9 on unknown thread "
                      "at 1.100 s.") != std::string::npos);
    REQUIRE(text.find(" Stack of the last transition: 0x1234.") != std::string::npos);
}

TEST_CASE("a leak's report counts slots and names the oldest") {
    violation what = example();
    what.kind = violation_kind::leak;
    what.count = 3;
    what.first.action = slot_action::acquired;
    REQUIRE(to_string(what) ==
            "leak: pool \"quotes\", 3 slot(s) still out; the oldest is slot 7, "
            "acquired by feed.cpp:42 on unknown thread at 1.204 s.");
}

TEST_CASE("the handler is called on the reporting thread and can be taken away") {
    const std::uint64_t before = all_violations().total();
    const std::uint64_t leaks = all_violations()[violation_kind::leak];
    violation what = example();
    what.kind = violation_kind::leak;
    {
        const ropeway_test::recorder seen;
        report_violation(what, violation_policy::log_and_drop);
        std::thread other{[&] { report_violation(what, violation_policy::throw_error); }};
        other.join();
        REQUIRE(seen.count() == 2);
        REQUIRE(seen.at(1).index == 7);
        REQUIRE_FALSE(seen.at(1).ends_process);
    }
    report_violation(what, violation_policy::log_and_drop);
    REQUIRE(all_violations().total() == before + 3);
    REQUIRE(all_violations()[violation_kind::leak] == leaks + 3);
    REQUIRE(last_violation_of_this_thread().index == 7);
}

TEST_CASE("only a new violation under policy throw_error is thrown, with its report") {
    const std::uint64_t before = violations_of_this_thread();
    REQUIRE_NOTHROW(throw_if_new(before, violation_policy::throw_error));
    report_violation(example(), violation_policy::throw_error);
    REQUIRE_NOTHROW(throw_if_new(before, violation_policy::log_and_drop));
    try {
        throw_if_new(before, violation_policy::throw_error);
        FAIL("nothing was thrown");
    } catch (const violation_error& error) {
        REQUIRE(error.what_happened().offset == 16);
        REQUIRE(std::string{error.what()} == to_string(example()));
    }
}

TEST_CASE("policy abort ends the program after the handler ran") {
    int pipe_ends[2];
    REQUIRE(pipe(pipe_ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
        set_violation_handler(
            [](const violation& told, void* end) noexcept {
                const char seen = told.ends_process ? 'y' : 'n';
                static_cast<void>(!write(*static_cast<int*>(end), &seen, 1));
            },
            &pipe_ends[1]);
        signal(SIGABRT, SIG_DFL);
        report_violation(example(), violation_policy::abort);
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGABRT);
    char seen = 'n';
    REQUIRE(read(pipe_ends[0], &seen, 1) == 1);
    REQUIRE(seen == 'y');
    close(pipe_ends[0]);
    close(pipe_ends[1]);
}
