// SPDX-License-Identifier: Apache-2.0
//
// Health of a snapshot: truth tables of each axis, each preset, and the two axes together.
#include <ropeway/pool/assess.hpp>

#include <array>
#include <chrono>
#include <string>
#include <vector>

#include <ropeway_test.hpp>

using ropeway::assess;
using ropeway::capacity_basis;
using ropeway::health_policy;
using ropeway::health_status;
using ropeway::liveness_state;
using ropeway::pool_state;
using ropeway::resource_error_kind;
using ropeway::resource_snapshot;
using namespace std::chrono_literals;
namespace presets = ropeway::health_presets;
using enum ropeway::health_status;

namespace {

/// A pool of `max` whose `total` connections are open, `idle` of them idle; nothing else wrong.
resource_snapshot pool_of(std::uint32_t idle, std::uint32_t total, std::uint32_t max) {
    resource_snapshot now;
    now.idle = idle;
    now.total = total;
    now.active = total - idle;
    now.min_size = std::min(total, 2U);
    now.max_size = max;
    now.state = pool_state::healthy;
    now.liveness = liveness_state::healthy;
    return now;
}

resource_snapshot with_liveness(resource_snapshot now, liveness_state liveness) {
    now.liveness = liveness;
    return now;
}

}  // namespace

TEST_CASE("seed 000's rule: the idle share's truth table") {
    struct row {
        std::uint32_t idle;
        std::uint32_t total;
        health_status expected;
        std::string reason;
    };
    const std::vector<row> table{
        {0, 0, unhealthy, "no connection is open"},
        {0, 100, unhealthy, "0 of 100 idle (0 %)"},
        {49, 100, unhealthy, "49 of 100 idle (49 %)"},
        {50, 100, degraded, "50 of 100 idle (50 %)"},
        {79, 100, degraded, "79 of 100 idle (79 %)"},
        {80, 100, healthy, "80 of 100 idle (80 %)"},
        {100, 100, healthy, "100 of 100 idle (100 %)"},
        {1, 2, degraded, "1 of 2 idle (50 %)"},
        {4, 5, healthy, "4 of 5 idle (80 %)"},
        {2, 10, unhealthy, "2 of 10 idle (20 %)"},
    };
    for (const row& expected : table) {
        CAPTURE(expected.reason);
        const auto said =
            assess(pool_of(expected.idle, expected.total, 100), presets::strict_000());
        CHECK(said.status == expected.expected);
        CHECK(said.reason == expected.reason);
    }
}

TEST_CASE("seed 000's rule: 80 percent is healthy at every size, and just below it is not") {
    for (std::uint32_t fifths = 1; fifths != 200; ++fifths) {
        const auto exactly = pool_of(4 * fifths, 5 * fifths, 1000);
        CHECK(assess(exactly, presets::strict_000()).status == healthy);
        const auto below = pool_of(4 * fifths - 1, 5 * fifths, 1000);
        CHECK(assess(below, presets::strict_000()).status != healthy);
    }
}

TEST_CASE("seed 000's rule: an error in the last 60 s degrades, an older one does not") {
    resource_snapshot now = pool_of(10, 10, 10);
    now.last_error = resource_error_kind::unavailable;
    now.since_error = 12s;
    auto said = assess(now, presets::strict_000());
    CHECK(said.status == degraded);
    CHECK(said.reason == "unavailable 12.0 s ago");
    now.since_error = 60s - 1ns;
    CHECK(assess(now, presets::strict_000()).status == degraded);
    now.since_error = 60s;
    CHECK(assess(now, presets::strict_000()).status == healthy);
    now.since_error = -1ns;
    CHECK(assess(now, presets::strict_000()).status == healthy);
    now.since_error = 0ns;
    CHECK(assess(now, presets::strict_000()).status == degraded);
}

TEST_CASE("leaks of the last 60 s degrade every preset but liveness alone") {
    resource_snapshot now = pool_of(10, 10, 10);
    now.recent_leaks = 2;
    for (const auto& policy :
         {presets::combined(), presets::strict_000(), presets::latency_004()}) {
        CHECK(assess(now, policy).status == degraded);
        CHECK(assess(now, policy).reason == "2 leaks in the last 60 s");
    }
    CHECK(assess(now, presets::liveness_002()).status == healthy);
}

TEST_CASE("a pool whose connections are all leased is healthy but by seed 000's rule") {
    const resource_snapshot busy = pool_of(0, 10, 10);
    CHECK(assess(busy, presets::combined()).status == healthy);
    CHECK(assess(busy, presets::combined()).reason == "0 of 10 free (0 %)");
    CHECK(assess(busy, presets::latency_004()).status == healthy);
    CHECK(assess(busy, presets::liveness_002()).status == healthy);
    CHECK(assess(busy, presets::strict_000()).status == unhealthy);
}

TEST_CASE("callers that wait degrade from the limit on, and only while somebody waits") {
    struct row {
        std::uint32_t waiting;
        std::chrono::milliseconds longest;
        health_status combined;  ///< limit 100 ms
        health_status latency;   ///< limit 200 ms
    };
    const std::array<row, 6> table{{
        {0, 0ms, healthy, healthy},
        {0, 500ms, healthy, healthy},
        {3, 99ms, healthy, healthy},
        {3, 100ms, degraded, healthy},
        {3, 199ms, degraded, healthy},
        {3, 200ms, degraded, degraded},
    }};
    for (const row& expected : table) {
        resource_snapshot now = pool_of(0, 10, 10);
        now.waiting = expected.waiting;
        now.longest_wait_60s = expected.longest;
        CAPTURE(expected.waiting, expected.longest.count());
        CHECK(assess(now, presets::combined()).status == expected.combined);
        CHECK(assess(now, presets::latency_004()).status == expected.latency);
        CHECK(assess(now, presets::liveness_002()).status == healthy);
    }
    resource_snapshot now = pool_of(0, 10, 10);
    now.waiting = 3;
    now.longest_wait_60s = 150ms;
    CHECK(assess(now).reason == "3 wait; the longest wait of the last 60 s is 150 ms");
    health_policy strict = presets::combined();
    strict.saturation_may_fail = true;
    CHECK(assess(now, strict).status == unhealthy);
    strict.wait_limit = 0ms;
    CHECK(assess(now, strict).status == healthy);
}

TEST_CASE("every liveness with every saturation: the worse of the two, in each preset") {
    // Rows: connecting, healthy, suspect, unhealthy, reconnecting, disconnected. Columns: roomy,
    // callers wait beyond the limit. h: healthy, d: degraded, u: unhealthy.
    struct preset {
        health_policy policy;
        std::array<std::string, ropeway::liveness_states> expected;
    };
    const std::vector<preset> presets_table{
        {presets::combined(), {"dd", "hd", "dd", "uu", "dd", "uu"}},
        {presets::latency_004(), {"dd", "hd", "dd", "uu", "dd", "uu"}},
        {presets::liveness_002(), {"dd", "hh", "dd", "uu", "dd", "uu"}},
        {presets::strict_000(), {"hu", "hu", "hu", "hu", "hu", "hu"}},
    };
    resource_snapshot full = pool_of(0, 10, 10);
    full.waiting = 1;
    full.longest_wait_60s = 1s;
    const std::array<resource_snapshot, 2> saturations{pool_of(10, 10, 10), full};
    for (std::size_t p = 0; p != presets_table.size(); ++p) {
        for (std::size_t state = 0; state != ropeway::liveness_states; ++state) {
            for (std::size_t column = 0; column != 2; ++column) {
                const auto now =
                    with_liveness(saturations[column], static_cast<liveness_state>(state));
                CAPTURE(p, state, column);
                const auto said = assess(now, presets_table[p].policy);
                CHECK(to_string(said.status)[0] == presets_table[p].expected[state][column]);
                CHECK_FALSE(said.reason.empty());
            }
        }
    }
}

TEST_CASE("reconnecting is unhealthy while nothing is open, degraded while something is") {
    resource_snapshot now = pool_of(0, 0, 10);
    now.liveness = liveness_state::reconnecting;
    CHECK(assess(now).status == unhealthy);
    CHECK(assess(now).reason == "liveness: reconnecting");
    now = pool_of(1, 2, 10);
    now.liveness = liveness_state::reconnecting;
    CHECK(assess(now).status == degraded);
}

TEST_CASE("connecting is healthy only in a pool that needs no connection yet") {
    resource_snapshot now = pool_of(0, 0, 10);
    now.liveness = liveness_state::connecting;
    CHECK(assess(now).status == healthy);
    now.opening = 1;
    CHECK(assess(now).status == degraded);
    now.opening = 0;
    now.min_size = 2;
    CHECK(assess(now).status == degraded);
}

TEST_CASE("fewer open than the minimum degrades, unless they are on their way") {
    resource_snapshot now = pool_of(1, 1, 10);
    now.min_size = 3;
    CHECK(assess(now).status == degraded);
    CHECK(assess(now).reason == "1 of at least 3 open");
    now.opening = 2;
    CHECK(assess(now).status == healthy);
    now.opening = 1;
    CHECK(assess(now).status == degraded);
    now.state = pool_state::initializing;
    CHECK(assess(now).status == healthy);
}

TEST_CASE("the share of what is free counts what opens and may open, not what rests or closes") {
    health_policy policy = presets::combined();
    policy.degraded_below = 0.5;
    resource_snapshot now = pool_of(1, 4, 10);  // 3 leased: 7 of 10 free
    CHECK(assess(now, policy).reason == "7 of 10 free (70 %)");
    now.opening = 2;
    CHECK(assess(now, policy).reason == "7 of 10 free (70 %)");
    now.quarantined = 1;
    now.closing = 1;
    CHECK(assess(now, policy).reason == "5 of 10 free (50 %)");
    CHECK(assess(now, policy).status == healthy);
    now.quarantined = 2;
    CHECK(assess(now, policy).status == degraded);
    // Above a lowered maximum nothing is free, rather than four thousand million.
    CHECK(assess(pool_of(0, 8, 5), policy).reason == "0 of 5 free (0 %)");
}

TEST_CASE("shutting down is unhealthy, and a lost pool is unhealthy or degraded, in each preset") {
    for (const auto& policy : {presets::combined(), presets::strict_000(), presets::liveness_002(),
                               presets::latency_004()}) {
        for (const auto state : {pool_state::shutting_down, pool_state::terminated}) {
            resource_snapshot now = pool_of(10, 10, 10);
            now.state = state;
            CHECK(assess(now, policy).status == unhealthy);
            CHECK(assess(now, policy).reason == "the pool is shut down");
        }
        resource_snapshot lost = pool_of(0, 0, 10);
        lost.state = pool_state::recovering;
        CHECK(assess(lost, policy).status == unhealthy);
        lost = pool_of(1, 1, 10);
        lost.state = pool_state::recovering;
        CHECK(assess(lost, policy).status == degraded);
        for (const auto state : {pool_state::healthy, pool_state::degraded, pool_state::unhealthy,
                                 pool_state::initializing}) {
            resource_snapshot now = pool_of(10, 10, 10);
            now.state = state;
            CHECK(assess(now, policy).status == healthy);
        }
    }
}

TEST_CASE("every reason for the worst status is told, and none for a better one") {
    resource_snapshot now = pool_of(10, 10, 10);
    now.last_error = resource_error_kind::broken;
    now.since_error = 1s;
    now.recent_leaks = 1;
    now.liveness = liveness_state::suspect;
    CHECK(assess(now).reason == "liveness: suspect; broken 1.0 s ago; 1 leaks in the last 60 s");
    now.liveness = liveness_state::unhealthy;
    CHECK(assess(now).reason == "liveness: unhealthy");
}
