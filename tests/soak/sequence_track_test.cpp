// SPDX-License-Identifier: Apache-2.0
#include <ropeway_test.hpp>

#include "sequence_track.hpp"

using ropeway::soak::sequence_track;
using seen = sequence_track::seen;

TEST_CASE("Counters in order leave nothing missing") {
    sequence_track track;
    for (std::uint64_t n = 1; n <= 100'000; ++n) {
        REQUIRE(track.observe(n) == seen::next);
    }
    CHECK(track.last() == 100'000);
    CHECK(track.missing() == 0);
    CHECK(track.doubled() == 0);
    CHECK(track.reordered() == 0);
}

TEST_CASE("A gap counts what lies in it") {
    sequence_track track;
    CHECK(track.observe(3) == seen::gap);
    CHECK(track.missing() == 2);
    CHECK(track.observe(4) == seen::next);
    CHECK(track.observe(1'000'000) == seen::gap);
    CHECK(track.missing() == 2 + 999'995);
}

TEST_CASE("A counter that comes again is doubled, wherever it stood") {
    sequence_track track;
    for (std::uint64_t n = 1; n <= 20'000; ++n) {
        static_cast<void>(track.observe(n));
    }
    CHECK(track.observe(20'000) == seen::doubled);
    CHECK(track.observe(19'937) == seen::doubled);
    CHECK(track.observe(12'000) == seen::doubled);
    CHECK(track.observe(1) == seen::doubled);
    CHECK(track.doubled() == 4);
    CHECK(track.missing() == 0);
    CHECK(track.observe(20'001) == seen::next);
}

TEST_CASE("A counter that comes late fills its gap and is reordered once") {
    sequence_track track;
    static_cast<void>(track.observe(1));
    CHECK(track.observe(4) == seen::gap);
    CHECK(track.observe(2) == seen::reordered);
    CHECK(track.observe(2) == seen::doubled);
    CHECK(track.missing() == 1);
    CHECK(track.reordered() == 1);
    CHECK(track.observe(5) == seen::next);
    CHECK(track.last() == 5);
}

TEST_CASE("Late and doubled are told apart at every distance that is remembered") {
    for (std::uint64_t distance = 1; distance < sequence_track::memory; distance += 37) {
        sequence_track track;
        const std::uint64_t hole = 10'007;
        for (std::uint64_t n = 1; n <= hole + distance; ++n) {
            if (n != hole) {
                static_cast<void>(track.observe(n));
            }
        }
        REQUIRE(track.missing() == 1);
        REQUIRE(track.observe(hole) == seen::reordered);
        REQUIRE(track.observe(hole) == seen::doubled);
        REQUIRE(track.missing() == 0);
    }
}

TEST_CASE("What stood in a window's place before does not pass for seen after a gap") {
    sequence_track track;
    for (std::uint64_t n = 1; n <= 8192; ++n) {
        static_cast<void>(track.observe(n));
    }
    CHECK(track.observe(8192 + 4000) == seen::gap);
    for (std::uint64_t n = 8193; n < 8192 + 4000; ++n) {
        REQUIRE(track.observe(n) == seen::reordered);
    }
    CHECK(track.missing() == 0);
}
