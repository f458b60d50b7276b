// SPDX-License-Identifier: Apache-2.0
//
// Parameters of a resource pool: both sides of every bound, and the words of a refusal.
#include <ropeway/pool/resource_pool_params.hpp>

#include <chrono>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include <ropeway_test.hpp>

using ropeway::resource_pool_params;
using namespace std::chrono_literals;

namespace {

/// Why checked() refuses, or nothing.
std::string refusal(const resource_pool_params& params) {
    try {
        (void)checked(params);
    } catch (const std::invalid_argument& refused) {
        return refused.what();
    }
    return {};
}

/// One field at a bound: legal on one side, refused on the other with these first words.
struct bound {
    std::function<void(resource_pool_params&)> legal;
    std::function<void(resource_pool_params&)> illegal;
    std::string words;
};

template <class Field, class Value>
auto set(Field field, Value value) {
    return [field, value](resource_pool_params& params) { std::invoke(field, params) = value; };
}

template <class Field, class Value, class Other>
bound at(Field field, Value legal, Other illegal, std::string words) {
    return {set(field, legal), set(field, illegal), std::move(words)};
}

void check(const std::vector<bound>& bounds) {
    for (const bound& one : bounds) {
        CAPTURE(one.words);
        resource_pool_params params;
        one.legal(params);
        CHECK(refusal(params).empty());
        one.illegal(params);
        const std::string text = refusal(params);
        CAPTURE(text);
        CHECK(text.find(one.words) == 0);
        CHECK(text.find(". Suggestion: ") != std::string::npos);
    }
}

using P = resource_pool_params;

}  // namespace

TEST_CASE("defaults are legal and come back unchanged") {
    const resource_pool_params params = ropeway::checked({});
    CHECK(params.name == "resources");
    CHECK(params.min_size == 2);
    CHECK(params.max_size == 10);
    CHECK(params.max_uses == 50'000);
}

TEST_CASE("a maximum below the minimum is refused in the seed's words") {
    CHECK(refusal({.min_size = 10, .max_size = 5}) ==
          "max_size (5) must be >= min_size (10). Suggestion: Increase POOL_MAX_SIZE or reduce "
          "POOL_MIN_SIZE");
    CHECK(refusal({.min_size = 10, .max_size = 10}).empty());
    CHECK(refusal({.min_size = 0, .max_size = 1}).empty());
}

TEST_CASE("sizes and counts have bounds on both sides") {
    check({
        at(&P::max_size, 1000U, 1001U, "max_size (1001) must be from 1 to 1000"),
        at(&P::reserved, 9U, 10U, "reserved (10) must be from 0 to 9"),
        at(&P::max_waiters, 1U, 0U, "max_waiters (0) must be from 1 to 100000"),
        at(&P::max_waiters, 100'000U, 100'001U, "max_waiters (100001)"),
        at(&P::startup_attempts, 1U, 0U, "startup_attempts (0) must be from 1 to 100"),
        at(&P::startup_attempts, 100U, 101U, "startup_attempts (101)"),
        at(&P::max_age_jitter, 0.5, 0.500001, "max_age_jitter (0.500001) must be from 0 to 0.5"),
        at(&P::max_age_jitter, 0.0, -0.1, "max_age_jitter (-0.1)"),
        at(&P::max_age_jitter, 0.1, std::numeric_limits<double>::quiet_NaN(), "max_age_jitter ("),
        at(&P::name, "x", "", "name (\"\") must be a text that is not empty"),
    });
    CHECK(refusal({.min_size = 0, .max_size = 0}).find("max_size (0) must be from 1 to 1000") == 0);
}

TEST_CASE("times have bounds on both sides") {
    check({
        at(&P::acquire_timeout, 1ms, 0ms, "acquire_timeout (0 ms) must be from 1 ms to 300 s"),
        at(&P::acquire_timeout, 300s, 300'001ms, "acquire_timeout (300001 ms)"),
        at(&P::connect_timeout, 1ms, 0ms, "connect_timeout (0 ms) must be from 1 ms to 60 s"),
        at(&P::connect_timeout, 60s, 61s, "connect_timeout (61 s)"),
        at(&P::probe_timeout, 1ms, 0ms, "probe_timeout (0 ms)"),
        at(&P::probe_timeout, 60s, 61s, "probe_timeout (61 s)"),
        at(&P::reset_timeout, 1ms, 0ms, "reset_timeout (0 ms)"),
        at(&P::reset_timeout, 60s, 61s, "reset_timeout (61 s)"),
        at(&P::close_timeout, 1ms, 0ms, "close_timeout (0 ms)"),
        at(&P::close_timeout, 60s, 61s, "close_timeout (61 s)"),
        at(&P::validate_after, 0ms, -1ms, "validate_after (-1 ms)"),
        at(&P::validate_after, 1h, 3601s, "validate_after (3601 s)"),
        at(&P::maintenance_interval, 1ms, 0ms, "maintenance_interval (0 ms)"),
        at(&P::maintenance_interval, 1h, 3601s, "maintenance_interval (3601 s)"),
    });
}

TEST_CASE("times that may be never take zero and refuse what is between zero and their bound") {
    check({
        at(&P::max_age, 0ms, -1ms, "max_age (-1 ms) must be 0 or from 1 ms"),
        at(&P::max_age, 1ms, -1s, "max_age (-1 s)"),
        at(&P::max_idle, 0ms, -1ms, "max_idle (-1 ms)"),
        at(&P::leak_timeout, 0ms, -1ms, "leak_timeout (-1 ms)"),
        at(&P::probe_interval, 0ms, 9ms, "probe_interval (9 ms) must be 0 or from 10 ms to 3600 s"),
        at(&P::probe_interval, 10ms, -1ms, "probe_interval (-1 ms)"),
        at(&P::probe_interval, 1h, 3601s, "probe_interval (3601 s)"),
    });
}

TEST_CASE("parts of the parameters are checked too") {
    resource_pool_params params;
    params.quarantine = {.failures = 64, .history = 64, .rest = 10ms};
    CHECK(refusal(params).empty());
    params.quarantine = {.failures = 9, .history = 8};
    CHECK(refusal(params).find("quarantine.failures (9) must be from 0 to 8") == 0);
    params.quarantine = {.failures = 0, .history = 0};
    CHECK(refusal(params).find("quarantine.history (0) must be from 1 to 64") == 0);
    params.quarantine = {.failures = 0, .history = 65};
    CHECK(refusal(params).find("quarantine.history (65)") == 0);
    params.quarantine = {.rest = 9ms};
    CHECK(refusal(params).find("quarantine.rest (9 ms) must be from 10 ms to 3600 s") == 0);
    params.quarantine = {.rest = 3601s};
    CHECK(refusal(params).find("quarantine.rest (3601 s)") == 0);
    CHECK(refusal({.liveness = {.threshold = 0}}).find("liveness.threshold (0)") == 0);
    CHECK(refusal({.reconnect = {.cap = 1ms}}).find("reconnect.cap (1 ms)") == 0);
}
