// SPDX-License-Identifier: Apache-2.0
//
// Kinds, and which of them are critical.
#include <ropeway/pool/event_kind.hpp>

#include <ropeway_test.hpp>

using namespace ropeway;

static_assert(is_critical(event_kind::execution_report));
static_assert(is_critical(event_kind::control_command));
static_assert(is_critical(event_kind::control_ack));
static_assert(is_critical(event_kind::control_result));
static_assert(!is_critical(event_kind::trade) && !is_critical(event_kind::heartbeat));
static_assert(is_critical(static_cast<event_kind>(77)), "what nobody knows is never filtered");
static_assert((market_data & critical).empty());
static_assert((market_data | critical).bits() == all_kinds.bits());

TEST_CASE("an unknown kind belongs to whoever wants critical kinds") {
    REQUIRE(critical.contains(std::uint32_t{77}));
    REQUIRE(critical.contains(std::uint32_t{15}));
    REQUIRE_FALSE(market_data.contains(std::uint32_t{77}));
}

TEST_CASE("every kind has a name and stands in exactly one of the two classes") {
    for (std::uint32_t kind = 0; kind != 10; ++kind) {
        const auto k = static_cast<event_kind>(kind);
        REQUIRE(to_string(k) != "unknown");
        REQUIRE(market_data.contains(k) != critical.contains(k));
        REQUIRE(critical.contains(k) == is_critical(k));
    }
    REQUIRE(to_string(static_cast<event_kind>(10)) == "unknown");
}
