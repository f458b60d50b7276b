// SPDX-License-Identifier: Apache-2.0
//
// How the library reaches into event types: market_event, and users' own.
#include <ropeway/pool/event_traits.hpp>

#include <ropeway_test.hpp>

#include "pool_test.hpp"

using namespace ropeway;
using namespace ropeway_test;

static_assert(event_type<market_event> && event_type<tick> && event_type<note>);
static_assert(!event_type<int>);
static_assert(slot_bytes<market_event> == 128 && slot_bytes<tick> == 128);

struct wide {
    int kind = 0;
    std::uint64_t routing_version = 0;
    std::array<char, 150> more{};
};
static_assert(event_type<wide> && slot_bytes<wide> == 192);

TEST_CASE("the traits of market_event read its members") {
    market_event e;
    e.kind = event_kind::control_ack;
    e.instrument = 7;
    e.routing_version = 9;
    e.trace = {1, 2};
    using traits = event_traits<market_event>;
    REQUIRE(traits::kind(e) == 8);
    REQUIRE(traits::is_critical(8));
    REQUIRE_FALSE(traits::is_critical(0));
    REQUIRE(traits::is_critical(99));
    REQUIRE(traits::instrument(e) == 7);
    REQUIRE(traits::trace(e) == trace_id{1, 2});
    market_event copy;
    traits::clone(copy, e);
    REQUIRE(copy == e);
    traits::reset(copy);
    REQUIRE(copy == market_event{});
}

TEST_CASE("a type that does not say which kinds are critical has only critical ones") {
    REQUIRE(event_traits<wide>::is_critical(0));
}

TEST_CASE("a user's own traits replace the defaults one by one") {
    tick e{1, 5, 2.5};
    using traits = event_traits<tick>;
    REQUIRE(traits::kind(e) == 1);
    REQUIRE(traits::is_critical(1));
    REQUIRE_FALSE(traits::is_critical(0));
    traits::set_routing_version(e, 6);
    REQUIRE(traits::routing_version(e) == 6);
    REQUIRE(traits::instrument(e) == 0);
    REQUIRE(traits::trace(e) == trace_id{});
}
