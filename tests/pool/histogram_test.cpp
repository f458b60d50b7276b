// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include <ropeway/pool/histogram.hpp>

#include <ropeway_test.hpp>

using ropeway::histogram;
using ropeway::histogram_cells;

TEST_CASE("an empty histogram answers zero") {
    for (const histogram& empty : {histogram{}, histogram_cells{}.snapshot()}) {
        CHECK(empty.count() == 0);
        CHECK(empty.percentile(0.5) == 0);
        CHECK(empty.min() == 0);
        CHECK(empty.max() == 0);
    }
}

TEST_CASE("small values are exact") {
    histogram h;
    for (std::uint64_t ns = 1; ns <= 31; ++ns) {
        h.record(ns);
    }
    CHECK(h.percentile(0.5) == 16);
    CHECK(h.percentile(0.9) == 28);
    CHECK(h.percentile(1.0) == 31);
}

TEST_CASE("percentiles of values and of cells are at most 6.3 percent too high") {
    histogram_cells cells;
    histogram plain;
    for (std::uint64_t i = 1; i <= 100'000; ++i) {
        cells.record(i * 10);
        plain.record(i * 10);
    }
    for (const histogram& one : {cells.snapshot(), plain}) {
        CHECK(one.count() == 100'000);
        CHECK(one.min() == 10);
        CHECK(one.max() == 1'000'000);
        for (const double share : {.01, .5, .95, .999}) {
            const double truth = share * 1'000'000;
            CHECK(static_cast<double>(one.percentile(share)) >= truth);
            CHECK(static_cast<double>(one.percentile(share)) <= truth * 1.063);
        }
    }
}

TEST_CASE("a percentile is at most 6.3 percent too high at every magnitude") {
    for (std::uint64_t ns = 32; ns < (std::uint64_t{1} << 62U); ns = ns * 3 + 7) {
        histogram h;
        h.record(ns);
        h.record(~std::uint64_t{0});
        const auto told = static_cast<double>(h.percentile(0.5));
        REQUIRE(told >= static_cast<double>(ns));
        REQUIRE(told <= static_cast<double>(ns) * 1.063);
    }
}

TEST_CASE("a bucket's end is in it, and the next value is not") {
    for (std::uint64_t i = 0; i < 64; ++i) {
        const std::size_t bucket = histogram::bucket_of(std::uint64_t{1} << i);
        const std::uint64_t end = histogram::end_of(bucket);
        CHECK(histogram::bucket_of(end) == bucket);
        if (end != ~std::uint64_t{0}) {
            CHECK(histogram::bucket_of(end + 1) == bucket + 1);
        }
    }
}

TEST_CASE("merging adds up") {
    histogram a;
    histogram b;
    a.record(10);
    b.record(1000);
    b.record(20);
    a.merge(b);
    CHECK(a.count() == 3);
    CHECK(a.min() == 10);
    CHECK(a.max() == 1000);
    CHECK(a.percentile(0.6) == 20);
}

TEST_CASE("cleared cells begin anew") {
    histogram_cells cells;
    cells.record(5);
    cells.clear();
    cells.record(7);
    CHECK(cells.snapshot().count() == 1);
    CHECK(cells.snapshot().min() == 7);
    CHECK(cells.snapshot().max() == 7);
}
