// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <vector>

#include "support.hpp"

using namespace ropeway_test;
using ropeway::event_kind;
using ropeway::guard_level;
using ropeway::market_event;
using ropeway::overflow;
using ropeway::violation_kind;

namespace {

void flip_byte(market_event* event, std::size_t offset) {
    unsigned char byte = 0;
    std::memcpy(&byte, reinterpret_cast<const unsigned char*>(event) + offset, 1);
    byte ^= 0x5A;
    std::memcpy(reinterpret_cast<unsigned char*>(event) + offset, &byte, 1);
}

/// A publisher with one subscriber that is known to have passed what was published.
class lap {
  public:
    explicit lap(guard_level level)
        : d_(params(level)),
          reader_(d_.subscribe("reader", overflow::block, {},
                               [this](const market_event&) { done_.add(); })),
          feed_(d_.publisher("feed", rings())) {
        d_.start();
    }
    /// Publishes one event, waits for its handler, and returns where the event was claimed.
    market_event* next() {
        auto event = feed_.claim();
        if (!event) {
            return nullptr;
        }
        market_event* const at = &*event;
        event->kind = ++sent_ % 3 == 0 ? event_kind::control_ack : event_kind::trade;
        if (!feed_.publish(std::move(event)) || !done_.reached(sent_)) {
            return nullptr;
        }
        // The cursor moves before the handler of a duplicate runs; the slot is free to recycle.
        return at;
    }
    [[nodiscard]] bool stop() { return d_.stop(30s).clean(); }

  private:
    static ropeway::dispatcher_params params(guard_level level) {
        auto out = small_dispatcher();
        out.guard = level;
        return out;
    }
    /// Spares for each slot that a test spoils: a spoiled one is never handed out again.
    static ropeway::publisher_params rings() {
        auto out = rings_of(16);
        out.spare_claims = 2 * sizeof(market_event);
        return out;
    }
    tally done_;
    std::uint64_t sent_ = 0;
    ropeway::dispatcher<market_event> d_;
    ropeway::subscription reader_;
    ropeway::publisher<market_event> feed_;
};

}  // namespace

TEST_CASE("a write to an original after publish is found by the next publish, at every offset") {
    const auto level = GENERATE(guard_level::full, guard_level::degenerate);
    violations seen;
    lap ring{level};
    std::uint64_t expected = 0;
    for (std::size_t offset = 0; offset < sizeof(market_event); ++offset) {
        market_event* const published = ring.next();
        REQUIRE(published != nullptr);
        REQUIRE(seen.all() == expected);
        flip_byte(published, offset);
        REQUIRE(ring.next() != nullptr);
        REQUIRE(seen.of(violation_kind::write_after_publish) == ++expected);
        REQUIRE(seen.offset() == offset);
    }
    CHECK(seen.all() == expected);
    CHECK(ring.stop());
}

TEST_CASE("a write to a ring slot that was recycled is found within one event, at every offset") {
    // At `degenerate` the payload is freed then: AddressSanitizer's to find, not ours.
    violations seen;
    std::uint64_t expected = 0;
    lap ring{guard_level::full};
    for (std::size_t offset = 0; offset < sizeof(market_event); ++offset) {
        market_event* const published = ring.next();
        REQUIRE(published != nullptr);
        REQUIRE(ring.next() != nullptr);  // recycles and poisons the first one's slot
        REQUIRE(seen.all() == expected);
        flip_byte(published, offset);
        REQUIRE(ring.next() != nullptr);
        REQUIRE(seen.of(violation_kind::write_after_put) == ++expected);
        REQUIRE(seen.offset() == offset);
        for (int i = 0; i < 40; ++i) {
            REQUIRE(ring.next() != published);  // never handed out again
        }
    }
    CHECK(ring.stop());
    CHECK(seen.all() == expected);
}

TEST_CASE("the last events of an idle publisher are verified when the dispatcher stops") {
    violations seen;
    lap ring{guard_level::full};
    market_event* const published = ring.next();
    REQUIRE(published != nullptr);
    flip_byte(published, 100);
    CHECK(ring.stop());
    CHECK(seen.of(violation_kind::write_after_publish) == 1);
    CHECK(seen.offset() == 100);
}

TEST_CASE("guard levels may be changed while events flow") {
    violations seen;
    ropeway::dispatcher<market_event> d{small_dispatcher()};
    std::uint64_t wrong = 0;
    std::uint64_t got = 0;
    auto a = d.subscribe("a", overflow::block, {}, [&](market_event& e) {
        wrong += e.user != ++got;
        e = {};
    });
    auto b = d.subscribe("b", overflow::drop_oldest, {.delivery = ropeway::in_place},
                         [](const market_event&) {});
    auto feed = d.publisher("feed", rings_of(16));
    d.start();
    std::uint64_t sent = 0;
    for (int round = 0; round < 10; ++round) {
        for (const auto level : {guard_level::full, guard_level::off, guard_level::sampled,
                                 guard_level::degenerate, guard_level::guard}) {
            d.set_guard(level);
            for (std::uint64_t i = 0; i < scaled(1000); ++i) {
                REQUIRE(send(feed, event_kind::trade, ++sent));
            }
        }
    }
    CHECK(d.stop(30s).clean());
    CHECK(got == sent);
    CHECK(wrong == 0);
    CHECK(seen.all() == 0);
}
