// SPDX-License-Identifier: Apache-2.0
//
// A slab by itself, as a publisher uses it for its ring's originals.
#include <ropeway/pool/slab.hpp>

#include <ropeway_test.hpp>

#include <cstring>

#include <ropeway/pool/site.hpp>

#include "pool_test.hpp"

using namespace ropeway;
using namespace ropeway_test;

namespace {

template <class E = market_event>
slab_params ring_params(guard_level level, std::uint32_t slots = 16) {
    return {.name = "ring",
            .slots = slots,
            .slot_bytes = slot_bytes<E>,
            .guard = level,
            .ops = slab_ops::of<E>()};
}

constexpr guard_level all_levels[] = {guard_level::off, guard_level::guard, guard_level::sampled,
                                      guard_level::full, guard_level::degenerate};

}  // namespace

TEST_CASE("a slot lives, returns and lives again with the next generation, at every level") {
    for (const guard_level level : all_levels) {
        slab slots{ring_params(level)};
        REQUIRE(slots.level() == level);
        slot_ref ref = slab::initial(3);
        for (std::uint32_t life = 0; life != 5; ++life) {
            REQUIRE(slots.check_out(ref, 100 + life));
            REQUIRE(slots.is_current(ref));
            REQUIRE(slots.header(3).meta.load(std::memory_order_relaxed) == 100 + life);
            auto* const event = static_cast<market_event*>(slots.payload(3));
            REQUIRE(reinterpret_cast<std::uintptr_t>(event) % 16 == 0);
            event->user = life;
            REQUIRE(slots.check_in(ref));
            REQUIRE_FALSE(slots.is_current(ref));
            ref = slab::after_check_in(ref);
            REQUIRE(ref == slot_ref{3, life + 1});
        }
        REQUIRE(slots.violations().total() == 0);
    }
}

TEST_CASE("renewing a slot ends one life and begins the next, at every level") {
    for (const guard_level level : all_levels) {
        slab slots{ring_params(level)};
        slot_ref ref = slab::initial(0);
        REQUIRE(slots.check_out(ref, 1));
        for (std::uint32_t life = 0; life != 3000; ++life) {  // sampled takes its turn twice
            REQUIRE(slots.renew(ref, life));
            ref = slab::after_check_in(ref);
            REQUIRE(slots.is_current(ref));
        }
        REQUIRE(slots.violations().total() == 0);
    }
}

TEST_CASE("renewing with a stale reference is a violation, except at off") {
    for (const guard_level level : {guard_level::guard, guard_level::sampled, guard_level::full}) {
        const recorder seen;
        slab slots{ring_params(level)};
        REQUIRE(slots.check_out({0, 0}, 0));
        REQUIRE(slots.renew({0, 0}, 0));
        REQUIRE_FALSE(slots.renew({0, 0}, 0));
        REQUIRE(seen.count(violation_kind::put_after_reuse) == 1);
        REQUIRE(seen.last().generation_held == 0);
        REQUIRE(seen.last().generation_found == 1);
        REQUIRE(slots.is_current({0, 1}));
    }
}

TEST_CASE("a published original that changes at any byte is found when it returns, at full") {
    for (const guard_level level : {guard_level::full, guard_level::degenerate}) {
        const recorder seen;
        slab slots{ring_params(level)};
        slot_ref ref = slab::initial(0);
        for (std::size_t offset = 0; offset != sizeof(market_event); ++offset) {
            REQUIRE(slots.check_out(ref, offset));
            auto* const event = static_cast<market_event*>(slots.payload(0));
            *event = market_event{};
            event->price = 5;
            slots.seal(ref);
            reinterpret_cast<unsigned char*>(event)[offset] ^= 0x40;
            REQUIRE(slots.check_in(ref));  // reported; the slot itself is sound
            REQUIRE(seen.count(violation_kind::write_after_publish) == offset + 1);
            REQUIRE(seen.last().offset == offset);
            REQUIRE((seen.last().found ^ seen.last().expected) == 0x40);
            ref = slab::after_check_in(ref);
        }
        REQUIRE(slots.check_out(ref, 0));
        slots.seal(ref);
        REQUIRE(slots.check_in(ref));
        REQUIRE(seen.count() == sizeof(market_event));
    }
}

TEST_CASE("an original written to after its return is found within one event, at full") {
    const recorder seen;
    slab slots{ring_params(guard_level::full)};
    REQUIRE(slots.check_out({0, 0}, 0));
    REQUIRE(slots.check_out({1, 0}, 0));
    auto* const first = static_cast<market_event*>(slots.payload(0));
    REQUIRE(slots.check_in({0, 0}));
    SECTION("by the next return") {
        first->order = 1;
        REQUIRE(slots.check_in({1, 0}));
    }
    SECTION("by its own hand-out") {
        first->order = 1;
        REQUIRE_FALSE(slots.check_out({0, 1}, 0));
    }
    SECTION("by the scrubber") {
        first->order = 1;
        REQUIRE(slots.verify_all() == 1);
    }
    REQUIRE(seen.count(violation_kind::write_after_put) == 1);
    REQUIRE(seen.last().offset == offsetof(market_event, order));
    REQUIRE(seen.last().expected == poison_pattern);
    REQUIRE(slots.retired() == 1);
    REQUIRE_FALSE(slots.check_out({0, 1}, 0));  // never again, and not reported again
    REQUIRE(seen.count() == 1);
}

TEST_CASE("the whole payload of a returned slot is poisoned at full") {
    slab slots{ring_params(guard_level::full)};
    REQUIRE(slots.check_out({2, 0}, 0));
    REQUIRE(slots.check_in({2, 0}));
    const auto* const at = static_cast<const std::byte*>(slots.payload(2));
    for (std::size_t i = 0; i != slots.payload_capacity(); i += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, at + i, 8);
        REQUIRE(word == 0xDEADBEEFDEADBEEF);
    }
}

TEST_CASE("objects that are not trivially copyable live from first to last, and are reset") {
    for (const guard_level level : all_levels) {
        slab slots{ring_params<note>(level)};
        slot_ref ref = slab::initial(0);
        for (int life = 0; life != 3; ++life) {
            REQUIRE(slots.check_out(ref, 0));
            auto* const event = static_cast<note*>(slots.payload(0));
            REQUIRE(event->text.empty());
            event->text = "a text that is too long for a string's own storage";
            event->numbers.assign(100, 1);
            REQUIRE(slots.check_in(ref));
            ref = slab::after_check_in(ref);
        }
        REQUIRE(slots.violations().total() == 0);
    }
}

TEST_CASE("bad parameters are refused with the value and the remedy") {
    using Catch::Matchers::Contains;
    auto params = ring_params(guard_level::guard);
    params.slots = 0;
    REQUIRE_THROWS_WITH(slab{params}, Contains("slots is 0") && Contains("at least 1"));
    params = ring_params(guard_level::guard);
    params.slot_bytes = 100;
    REQUIRE_THROWS_WITH(slab{params}, Contains("100") && Contains("slot_bytes<E>"));
    params.slot_bytes = 64;
    REQUIRE_THROWS_WITH(slab{params}, Contains("112"));
}

TEST_CASE("references beyond the slab are foreign, and addresses find their slots") {
    const recorder seen;
    slab slots{ring_params(guard_level::guard)};
    REQUIRE_FALSE(slots.check_in({16, 0}));
    REQUIRE(seen.last().kind == violation_kind::foreign_pointer);
    std::uint32_t index = 0;
    REQUIRE(slots.find(slots.payload(5), index));
    REQUIRE(index == 5);
    REQUIRE_FALSE(slots.find(static_cast<std::byte*>(slots.payload(5)) + 1, index));
    REQUIRE_FALSE(slots.find(&seen, index));
}

TEST_CASE("a raised level adds tables once and a lowered one leaves no false report") {
    const recorder seen;
    slab slots{ring_params(guard_level::off)};
    REQUIRE(slots.guard_memory_bytes() == 0);
    slot_ref ref = slab::initial(0);
    REQUIRE(slots.check_out(ref, 0));
    for (int round = 0; round != 3; ++round) {
        for (const guard_level level : all_levels) {
            REQUIRE(slots.set_level(level));
            slots.seal(ref);
            static_cast<market_event*>(slots.payload(0))->user = 1;
            if (level < guard_level::full) {
                REQUIRE(slots.check_in(ref));
                ref = slab::after_check_in(ref);
                REQUIRE(slots.check_out(ref, 0));
            }
        }
    }
    // Each round sealed at full, then wrote: found when the level had come down again.
    REQUIRE(seen.count() == seen.count(violation_kind::write_after_publish));
    const std::size_t tables = slots.guard_memory_bytes();
    REQUIRE(tables > 0);
    REQUIRE(slots.set_level(guard_level::full));
    REQUIRE(slots.guard_memory_bytes() == tables);
}
