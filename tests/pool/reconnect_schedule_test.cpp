// SPDX-License-Identifier: Apache-2.0
//
// The back-off schedule: literals of each preset, every kind of jitter at its bounds and at the
// cap, callers that wait, and the end of tries.
#include <ropeway/pool/reconnect_schedule.hpp>

#include <algorithm>
#include <chrono>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <ropeway_test.hpp>

using ropeway::jitter_kind;
using ropeway::reconnect_params;
using ropeway::reconnect_schedule;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using namespace std::chrono_literals;
namespace presets = ropeway::reconnect_presets;

namespace {

constexpr double almost_one = 1.0 - 0x1.0p-53;

/// The delays of the first tries where the random number is in the middle: no jitter either way.
std::vector<long long> delays_ms(const reconnect_params& params, std::uint32_t tries,
                                 bool somebody_waits = false) {
    std::vector<long long> delays;
    for (std::uint32_t attempt = 0; attempt != tries; ++attempt) {
        const nanoseconds delay = reconnect_schedule::delay(params, attempt, 0.5, somebody_waits);
        delays.push_back(std::chrono::duration_cast<milliseconds>(delay).count());
    }
    return delays;
}

nanoseconds delay_of(const reconnect_params& params, std::uint32_t attempt, double random) {
    return reconnect_schedule::delay(params, attempt, random, false);
}

bool near(nanoseconds value, nanoseconds expected) {
    return value > expected - 1us && value < expected + 1us;
}

std::string refusal(const reconnect_params& params) {
    try {
        const reconnect_schedule subject{params};
    } catch (const std::invalid_argument& refused) {
        return refused.what();
    }
    return {};
}

}  // namespace

TEST_CASE("seed 000 waits 1, 2, 4, 8, 16 s, then 16 s for ever") {
    CHECK(delays_ms(presets::seed_000(), 8) ==
          std::vector<long long>{1000, 2000, 4000, 8000, 16'000, 16'000, 16'000, 16'000});
    CHECK(delay_of(presets::seed_000(), 4'000'000'000U, 0.5) == 16s);
}

TEST_CASE("nodes wait 1, 2, 4, 8, 16, 30 s, then 30 s for ever") {
    CHECK(delays_ms(presets::node(), 8) ==
          std::vector<long long>{1000, 2000, 4000, 8000, 16'000, 30'000, 30'000, 30'000});
}

TEST_CASE("a pool tries quickly three times before it backs off") {
    CHECK(delays_ms(presets::pool(), 9) ==
          std::vector<long long>{10, 50, 250, 1000, 2000, 4000, 8000, 16'000, 16'000});
}

TEST_CASE("while a caller waits no delay is longer than 200 ms") {
    CHECK(delays_ms(presets::pool(), 9, true) ==
          std::vector<long long>{10, 50, 200, 200, 200, 200, 200, 200, 200});
    CHECK(delays_ms(presets::seed_000(), 6, true) ==
          std::vector<long long>{1000, 2000, 4000, 8000, 16'000, 16'000});
}

TEST_CASE("quick tries are not jittered, and only zeros at the end are left out") {
    reconnect_params params = presets::pool();
    params.quick = {10ms, 0ms, 30ms, 0ms};
    CHECK(delay_of(params, 0, 0.0) == 10ms);
    CHECK(delay_of(params, 1, almost_one) == 0ms);
    CHECK(delay_of(params, 2, 0.0) == 30ms);
    CHECK(near(delay_of(params, 3, 0.0), 900ms));
}

TEST_CASE("plus-minus jitter reaches to both sides, at the cap too") {
    const reconnect_params params = presets::seed_000();
    for (const auto& [attempt, middle] : {std::pair{0U, 1000ms}, {3U, 8000ms}, {9U, 16'000ms}}) {
        CHECK(near(delay_of(params, attempt, 0.0), middle - middle / 10));
        CHECK(near(delay_of(params, attempt, almost_one), middle + middle / 10));
    }
}

TEST_CASE("additive jitter reaches upwards and is cut at the cap") {
    reconnect_params params = presets::node();
    params.jitter = jitter_kind::additive;
    CHECK(delay_of(params, 0, 0.0) == 1000ms);
    CHECK(near(delay_of(params, 0, almost_one), 1100ms));
    CHECK(near(delay_of(params, 4, almost_one), 17'600ms));
    CHECK(delay_of(params, 5, 0.0) == 30s);
    CHECK(delay_of(params, 5, almost_one) == 30s);
}

TEST_CASE("full jitter reaches from zero to the delay; none leaves it alone") {
    reconnect_params params = presets::seed_000();
    params.jitter = jitter_kind::full;
    CHECK(delay_of(params, 2, 0.0) == 0s);
    CHECK(near(delay_of(params, 2, almost_one), 4s));
    CHECK(near(delay_of(params, 20, 0.25), 4s));
    params.jitter = jitter_kind::none;
    CHECK(delay_of(params, 2, 0.0) == 4s);
    CHECK(delay_of(params, 2, almost_one) == 4s);
}

TEST_CASE("a base that is no power of two of the cap ends at the cap") {
    const reconnect_params params{.base = 700ms, .cap = 2s, .jitter = jitter_kind::none};
    CHECK(delays_ms(params, 4) == std::vector<long long>{700, 1400, 2000, 2000});
    const reconnect_params flat{.base = 1h, .cap = 1h, .jitter = jitter_kind::none};
    CHECK(delay_of(flat, 63, 0.0) == 1h);
    const reconnect_params fine{.base = 1ms, .cap = 1h, .jitter = jitter_kind::none};
    CHECK(delay_of(fine, 21, 0.0) == 2'097'152ms);
    CHECK(delay_of(fine, 22, 0.0) == 1h);
}

TEST_CASE("tries end after max_attempts, until one succeeds") {
    reconnect_schedule subject{presets::retry_query(), 7};
    for (std::uint32_t attempt = 0; attempt != 3; ++attempt) {
        CHECK(subject.attempts() == attempt);
        CHECK(subject.next(false) != reconnect_schedule::never);
    }
    CHECK(subject.next(false) == reconnect_schedule::never);
    CHECK(subject.next(true) == reconnect_schedule::never);
    CHECK(subject.attempts() == 3);
    subject.succeeded();
    CHECK(subject.attempts() == 0);
    CHECK(subject.next(false) <= 55ms);
}

TEST_CASE("one seed gives one schedule, another seed another one") {
    const auto first_hundred = [](std::uint64_t seed) {
        reconnect_schedule subject{presets::seed_000(), seed};
        std::vector<nanoseconds> delays(100);
        std::generate(delays.begin(), delays.end(), [&] { return subject.next(false); });
        return delays;
    };
    CHECK(first_hundred(42) == first_hundred(42));
    CHECK(first_hundred(42) != first_hundred(43));
    CHECK(first_hundred(0) != first_hundred(1));
}

TEST_CASE("a seeded schedule keeps its bounds, uses their whole width, and varies at the cap") {
    reconnect_schedule subject{presets::seed_000(), 11};
    const std::vector<nanoseconds> middle{1s, 2s, 4s, 8s, 16s};
    std::set<nanoseconds> at_cap;
    for (std::size_t attempt = 0; attempt != 1000; ++attempt) {
        const nanoseconds around = middle[std::min<std::size_t>(attempt, 4)];
        const nanoseconds delay = subject.next(false);
        REQUIRE(delay >= around - around / 10 - 1us);
        REQUIRE(delay <= around + around / 10 + 1us);
        if (attempt >= 4) {
            at_cap.insert(delay);
        }
    }
    CHECK(at_cap.size() > 900);
    CHECK(*at_cap.begin() < 14'500ms);
    CHECK(*at_cap.rbegin() > 17'500ms);
}

TEST_CASE("reconnect params out of range are refused with field, value and range") {
    CHECK(refusal({}).empty());
    CHECK(refusal({.base = 0ms}).find("reconnect.base (0 ms) must be from 1 ms to 3600 s") == 0);
    CHECK(refusal({.base = 1h + 1ms, .cap = 2h}).find("reconnect.base") == 0);
    CHECK(refusal({.cap = 999ms}).find("reconnect.cap (999 ms) must be from 1 s to 3600 s") == 0);
    CHECK(refusal({.cap = 1000ms}).empty());
    CHECK(refusal({.cap = 1h + 1ms}).find("reconnect.cap (3600001 ms)") == 0);
    CHECK(refusal({.quick = {-1ms, 0ms, 0ms, 0ms}}).find("reconnect.quick (-1 ms)") == 0);
    CHECK(refusal({.jitter_factor = 0.5}).empty());
    CHECK(refusal({.jitter_factor = 0.51}).find("reconnect.jitter_factor (0.51)") == 0);
    CHECK(refusal({.jitter_factor = -0.01}).find("reconnect.jitter_factor (-0.01)") == 0);
    CHECK(refusal({.while_waiting = -1ms}).find("reconnect.while_waiting (-1 ms)") == 0);
}
