// SPDX-License-Identifier: Apache-2.0
//
// The checks of one slot: what is remembered, when it rests, when it is tried again.
#include <ropeway/pool/check_history.hpp>

#include <chrono>
#include <string_view>

#include <ropeway_test.hpp>

using ropeway::check_history;
using ropeway::quarantine_change;
using ropeway::resource_clock_point;
using ropeway::resource_quarantine_params;
using namespace std::chrono_literals;

namespace {

constexpr resource_clock_point start{100s};
constexpr resource_quarantine_params three_of_eight{.failures = 3, .history = 8, .rest = 5000ms};

/// Records one check per letter: s for success, f for failure. @return the last change.
quarantine_change record(check_history& subject, std::string_view checks,
                         const resource_quarantine_params& params = three_of_eight,
                         resource_clock_point now = start) {
    quarantine_change last = quarantine_change::none;
    for (const char check : checks) {
        last = subject.record(check == 's', params, now);
    }
    return last;
}

}  // namespace

TEST_CASE("a new history is empty and does not rest") {
    const check_history subject;
    CHECK(subject.size() == 0);
    CHECK(subject.failures(64) == 0);
    CHECK_FALSE(subject.resting());
    CHECK_FALSE(subject.due(start + 24h));
}

TEST_CASE("the latest check is bit 0, and 64 checks are remembered") {
    check_history subject;
    constexpr resource_quarantine_params never{.failures = 0, .history = 64};
    record(subject, "fsf", never);
    CHECK(subject.bits() == 0b101);
    CHECK(subject.size() == 3);
    for (int i = 0; i != 100; ++i) {
        record(subject, "f", never);
    }
    CHECK(subject.size() == 64);
    CHECK(subject.failures(64) == 64);
    CHECK(subject.failures(1) == 1);
    record(subject, "s", never);
    CHECK(subject.failures(64) == 63);
    CHECK(subject.failures(1) == 0);
}

TEST_CASE("a slot rests at the third failure among the last eight checks, told once") {
    check_history subject;
    CHECK(record(subject, "fsfss") == quarantine_change::none);
    CHECK(record(subject, "f") == quarantine_change::entered);
    CHECK(subject.resting());
    CHECK(subject.until() == start + 5s);
}

TEST_CASE("failures that slid out of the history do not count") {
    check_history subject;
    // Two failures, then six successes: the next check pushes the first failure out.
    CHECK(record(subject, "ffssssss") == quarantine_change::none);
    CHECK(record(subject, "f") == quarantine_change::none);
    CHECK(subject.failures(8) == 2);
    CHECK_FALSE(subject.resting());
    CHECK(record(subject, "ff") == quarantine_change::entered);
}

TEST_CASE("a success never begins a rest") {
    check_history subject;
    constexpr resource_quarantine_params two{.failures = 2, .history = 8};
    record(subject, "ff", {.failures = 0, .history = 8});
    CHECK(subject.failures(8) == 2);
    CHECK(record(subject, "s", two) == quarantine_change::none);
    CHECK_FALSE(subject.resting());
}

TEST_CASE("it is due to be tried again when the rest is over, not a nanosecond before") {
    check_history subject;
    record(subject, "fff");
    CHECK_FALSE(subject.due(start));
    CHECK_FALSE(subject.due(start + 5s - 1ns));
    CHECK(subject.due(start + 5s));
}

TEST_CASE("tried again and failed, it rests once more; tried again and well, it begins anew") {
    check_history subject;
    record(subject, "fff");
    CHECK(record(subject, "f", three_of_eight, start + 5s) == quarantine_change::extended);
    CHECK(subject.resting());
    CHECK(subject.until() == start + 10s);
    CHECK(record(subject, "s", three_of_eight, start + 10s) == quarantine_change::left);
    CHECK_FALSE(subject.resting());
    CHECK(subject.size() == 0);
    CHECK(record(subject, "ff", three_of_eight, start + 11s) == quarantine_change::none);
    CHECK(record(subject, "f", three_of_eight, start + 11s) == quarantine_change::entered);
}

TEST_CASE("without a number of failures nothing ever rests") {
    check_history subject;
    constexpr resource_quarantine_params never{.failures = 0, .history = 1};
    for (int i = 0; i != 200; ++i) {
        REQUIRE(record(subject, "f", never) == quarantine_change::none);
    }
    CHECK_FALSE(subject.resting());
}

TEST_CASE("the bounds of the history: one check, and 64 of 64") {
    check_history one;
    CHECK(record(one, "f", {.failures = 1, .history = 1}) == quarantine_change::entered);
    check_history all;
    constexpr resource_quarantine_params whole{.failures = 64, .history = 64};
    for (int i = 0; i != 63; ++i) {
        REQUIRE(record(all, "f", whole) == quarantine_change::none);
    }
    CHECK(record(all, "f", whole) == quarantine_change::entered);
}
