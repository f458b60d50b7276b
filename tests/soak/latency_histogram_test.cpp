// SPDX-License-Identifier: Apache-2.0
#include <ropeway_test.hpp>

#include "latency_histogram.hpp"

using ropeway::soak::latency_histogram;

TEST_CASE("An empty histogram answers zero") {
    const latency_histogram empty;
    CHECK(empty.percentile(0.5) == 0);
    CHECK(empty.max() == 0);
}

TEST_CASE("Small values are exact") {
    latency_histogram h;
    for (std::uint64_t ns = 1; ns <= 50; ++ns) {
        h.record(ns);
    }
    CHECK(h.percentile(0.5) == 25);
    CHECK(h.percentile(0.9) == 45);
    CHECK(h.percentile(1.0) == 50);
}

TEST_CASE("A percentile is at most 3.2 percent too high") {
    for (std::uint64_t ns = 64; ns < (std::uint64_t{1} << 62U); ns = ns * 3 + 7) {
        latency_histogram h;
        h.record(ns);
        h.record(~std::uint64_t{0});
        const auto told = static_cast<double>(h.percentile(0.5));
        REQUIRE(told >= static_cast<double>(ns));
        REQUIRE(told <= static_cast<double>(ns) * 1.032);
    }
}

TEST_CASE("Merging adds up") {
    latency_histogram a;
    latency_histogram b;
    a.record(10);
    b.record(1000);
    b.record(20);
    a.merge(b);
    CHECK(a.count() == 3);
    CHECK(a.max() == 1000);
    CHECK(a.percentile(0.6) == 20);
}
