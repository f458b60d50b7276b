// SPDX-License-Identifier: Apache-2.0
//
// Liveness: the whole transition matrix in literals, each transition told once, and how long an end
// that goes away stays unnoticed, on a simulated clock.
#include <ropeway/pool/liveness.hpp>

#include <array>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include <ropeway_test.hpp>

using ropeway::liveness;
using ropeway::liveness_input;
using ropeway::liveness_params;
using ropeway::liveness_state;
using std::chrono::milliseconds;
using enum ropeway::liveness_state;
namespace presets = ropeway::liveness_presets;

namespace {

struct row {
    liveness_state from;
    std::array<liveness_state, 4> below;  ///< success, failure below the threshold, retry, removed
    std::array<liveness_state, 4> at;     ///< the same, the failure being the threshold's
};

constexpr std::array<row, ropeway::liveness_states> matrix{{
    {connecting,
     {healthy, connecting, connecting, disconnected},
     {healthy, unhealthy, connecting, disconnected}},
    {healthy,
     {healthy, suspect, healthy, disconnected},
     {healthy, unhealthy, healthy, disconnected}},
    {suspect,
     {healthy, suspect, suspect, disconnected},
     {healthy, unhealthy, suspect, disconnected}},
    {unhealthy,
     {healthy, unhealthy, reconnecting, disconnected},
     {healthy, unhealthy, reconnecting, disconnected}},
    {reconnecting,
     {healthy, unhealthy, reconnecting, disconnected},
     {healthy, unhealthy, reconnecting, disconnected}},
    {disconnected,
     {disconnected, disconnected, disconnected, disconnected},
     {disconnected, disconnected, disconnected, disconnected}},
}};

constexpr std::array inputs{liveness_input::success, liveness_input::failure,
                            liveness_input::retrying, liveness_input::removed};

/// The inputs that lead a new object with threshold 3 to a state.
std::vector<liveness_input> way_to(liveness_state state) {
    using enum liveness_input;
    switch (state) {
        case connecting: return {};
        case healthy: return {success};
        case suspect: return {success, failure};
        case unhealthy: return {failure, failure, failure};
        case reconnecting: return {failure, failure, failure, retrying};
        case disconnected: return {removed};
    }
    return {};
}

liveness in_state(liveness_state state) {
    liveness subject{{.threshold = 3}};
    for (const liveness_input input : way_to(state)) {
        (void)subject.tell(input);
    }
    return subject;
}

/// Milliseconds from the moment an end goes silent, right after a good probe began, to unhealthy:
/// probes hang until their deadline, one after the other.
milliseconds silent_until_unhealthy(const liveness_params& params) {
    liveness subject{params};
    (void)subject.tell(liveness_input::success);
    milliseconds began{0};
    milliseconds ended{0};
    while (subject.state() != unhealthy) {
        began = std::max(began + subject.next_probe_after(), ended);
        ended = began + subject.probe_timeout();
        (void)subject.tell(liveness_input::failure);
    }
    return ended;
}

std::string refusal(const liveness_params& params) {
    try {
        const liveness subject{params};
    } catch (const std::invalid_argument& refused) {
        return refused.what();
    }
    return {};
}

}  // namespace

TEST_CASE("the liveness matrix is the one in the table, state by state and input by input") {
    for (const row& expected : matrix) {
        for (std::size_t i = 0; i != inputs.size(); ++i) {
            CAPTURE(to_string(expected.from), i);
            CHECK(liveness::next(expected.from, inputs[i], 2, 3) == expected.below[i]);
            CHECK(liveness::next(expected.from, inputs[i], 3, 3) == expected.at[i]);
            CHECK(liveness::next(expected.from, inputs[i], 4, 3) == expected.at[i]);
        }
    }
}

TEST_CASE("an object moves as the matrix says and tells each transition once") {
    for (const row& expected : matrix) {
        for (std::size_t i = 0; i != inputs.size(); ++i) {
            liveness subject = in_state(expected.from);
            REQUIRE(subject.state() == expected.from);
            // A suspect or connecting object of threshold 3 is one or no failure in: below it.
            const auto change = subject.tell(inputs[i]);
            CAPTURE(to_string(expected.from), i);
            CHECK(subject.state() == expected.below[i]);
            CHECK(change.has_value() == (expected.below[i] != expected.from));
            if (change) {
                CHECK(change->from == expected.from);
                CHECK(change->to == expected.below[i]);
                // Telling the same again from the new state never repeats the change.
                const auto again = subject.tell(inputs[i]);
                CHECK((!again || again->from == expected.below[i]));
            }
        }
    }
}

TEST_CASE("a success between failures starts the count anew") {
    liveness subject{{.threshold = 3}};
    (void)subject.tell(liveness_input::success);
    for (int round = 0; round != 5; ++round) {
        (void)subject.tell(liveness_input::failure);
        (void)subject.tell(liveness_input::failure);
        CHECK(subject.state() == suspect);
        CHECK(subject.failures_in_a_row() == 2);
        (void)subject.tell(liveness_input::success);
        CHECK(subject.failures_in_a_row() == 0);
    }
    CHECK(subject.state() == healthy);
}

TEST_CASE("with a threshold of one the first failure is enough") {
    liveness subject{{.threshold = 1}};
    (void)subject.tell(liveness_input::success);
    const auto change = subject.tell(liveness_input::failure);
    REQUIRE(change);
    CHECK(change->from == healthy);
    CHECK(change->to == unhealthy);
}

TEST_CASE("probes are due by state: fast while suspect, left to the schedule while unhealthy") {
    const liveness_params params = presets::fast();
    CHECK(liveness{params}.next_probe_after() == milliseconds{250});
    const auto due = [&](std::vector<liveness_input> told) {
        liveness subject{params};
        for (const liveness_input input : told) {
            (void)subject.tell(input);
        }
        return subject.next_probe_after();
    };
    using enum liveness_input;
    CHECK(due({success}) == milliseconds{500});
    CHECK(due({success, failure}) == milliseconds{250});
    CHECK(due({failure, failure, failure}) == milliseconds{0});
    CHECK(due({failure, failure, failure, retrying}) == milliseconds{0});
    CHECK(due({removed}) == milliseconds{0});
}

TEST_CASE("preset fast finds a silent end within 1.75 s, preset seed_002 within 25 s") {
    CHECK(presets::fast().detects_within() == milliseconds{1750});
    CHECK(silent_until_unhealthy(presets::fast()) == milliseconds{1500});
    CHECK(silent_until_unhealthy(presets::fast()) <= presets::fast().detects_within());

    const liveness_params seed = presets::seed_002();
    CHECK(seed.interval == milliseconds{5000});
    CHECK(seed.threshold == 3);
    CHECK(seed.detects_within() == milliseconds{25'000});
    CHECK(silent_until_unhealthy(seed) == milliseconds{20'000});
}

TEST_CASE("any legal params detect within the time they name") {
    for (const std::uint32_t threshold : {1U, 2U, 5U, 20U}) {
        for (const int fast : {1, 40, 900, 1000}) {
            for (const int timeout : {1, 40, 900, 60'000}) {
                const liveness_params params{.threshold = threshold,
                                             .interval = milliseconds{1000},
                                             .fast_interval = milliseconds{fast},
                                             .timeout = milliseconds{timeout}};
                CAPTURE(threshold, fast, timeout);
                CHECK(silent_until_unhealthy(params) <= params.detects_within());
            }
        }
    }
}

TEST_CASE("liveness params out of range are refused with field, value and range") {
    CHECK(refusal({}).empty());
    CHECK(refusal({.threshold = 100}).empty());
    CHECK(refusal({.threshold = 0}).find("liveness.threshold (0) must be from 1 to 100") == 0);
    CHECK(refusal({.threshold = 101}).find("liveness.threshold (101)") == 0);
    CHECK(refusal({.interval = milliseconds{0}}).find("liveness.interval (0 ms)") == 0);
    CHECK(refusal({.interval = milliseconds{3'600'001}}).find("liveness.interval (3600001 ms)") ==
          0);
    CHECK(refusal({.interval = milliseconds{3'600'000}}).empty());
    CHECK(refusal({.fast_interval = milliseconds{5001}})
              .find("liveness.fast_interval (5001 ms) must be from 1 ms to 5 s") == 0);
    CHECK(refusal({.fast_interval = milliseconds{0}}).find("liveness.fast_interval (0 ms)") == 0);
    CHECK(refusal({.timeout = milliseconds{0}}).find("liveness.timeout (0 ms)") == 0);
    CHECK(refusal({.timeout = milliseconds{60'001}}).find("liveness.timeout (60001 ms)") == 0);
    CHECK(refusal({.timeout = milliseconds{60'000}}).empty());
}
