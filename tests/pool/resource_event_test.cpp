// SPDX-License-Identifier: Apache-2.0
//
// Names of what a pool says, each its own; the pool's states and what may follow what.
#include <ropeway/pool/resource_event.hpp>

#include <array>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>

#include <ropeway/pool/assess.hpp>

#include <ropeway_test.hpp>

namespace {

/// Every value below `count` has a name of its own, and the first beyond is unknown.
template <class Enum>
void check_names(std::size_t count) {
    std::set<std::string_view> names;
    for (std::size_t i = 0; i != count; ++i) {
        const std::string_view name = to_string(static_cast<Enum>(i));
        CAPTURE(i, name);
        CHECK(name != "unknown");
        CHECK(names.insert(name).second);
    }
    CHECK(to_string(static_cast<Enum>(count)) == "unknown");
}

}  // namespace

TEST_CASE("everything a pool says has a name of its own") {
    check_names<ropeway::resource_error_kind>(ropeway::resource_error_kinds);
    check_names<ropeway::close_reason>(ropeway::close_reasons);
    check_names<ropeway::pool_state>(ropeway::pool_states);
    check_names<ropeway::resource_event_kind>(ropeway::resource_event_kinds);
    check_names<ropeway::liveness_state>(ropeway::liveness_states);
    check_names<ropeway::health_status>(ropeway::health_statuses);
}

TEST_CASE("a failure that may go away by itself is retryable, and commit unknown never is") {
    using enum ropeway::resource_error_kind;
    for (const auto kind :
         {timeout, unavailable, recovering, too_many, transient, broken, queue_full, quarantined}) {
        CHECK(is_retryable(kind));
    }
    for (const auto kind :
         {none, authentication, invalid, commit_unknown, canceled, suspended, closed}) {
        CHECK_FALSE(is_retryable(kind));
    }
}

TEST_CASE("of the 49 pairs of pool states these may follow each other and no others") {
    using enum ropeway::pool_state;
    constexpr std::array states{initializing, healthy,       degraded,  unhealthy,
                                recovering,   shutting_down, terminated};
    // Rows: from; columns: to; in the order above.
    constexpr std::array<std::string_view, ropeway::pool_states> legal{
        ".xxxxx.",  // initializing: as it comes up, in any shape
        "..xxxx.",  // healthy
        ".x.xxx.",  // degraded
        ".xx.xx.",  // unhealthy
        ".xxx.x.",  // recovering
        "......x",  // shutting down
        ".......",  // terminated: final
    };
    for (std::size_t from = 0; from != states.size(); ++from) {
        for (std::size_t to = 0; to != states.size(); ++to) {
            CAPTURE(to_string(states[from]), to_string(states[to]));
            CHECK(may_follow(states[from], states[to]) == (legal[from][to] == 'x'));
        }
    }
}
