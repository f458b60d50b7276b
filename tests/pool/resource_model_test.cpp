// SPDX-License-Identifier: Apache-2.0
//
// Random runs of a pool against a sequential model, on virtual time. ROPEWAY_SEED=17 runs one
// seed, ROPEWAY_SEED=1..2000 a range; a failure names its seed and the latest operations.
#include "resource_model_run.hpp"

#include <ropeway_test.hpp>

#include <cstdlib>
#include <string>
#include <utility>

namespace {

using ropeway_test::model_counts;
using ropeway_test::model_failure;
using ropeway_test::model_run;

std::pair<std::uint64_t, std::uint64_t> seeds() {
    const char* const asked = std::getenv("ROPEWAY_SEED");
    if (asked == nullptr) {
        return {1, 500};
    }
    const std::string text = asked;
    const auto dots = text.find("..");
    const std::uint64_t first = std::stoull(text);
    return {first, dots == std::string::npos ? first : std::stoull(text.substr(dots + 2))};
}

TEST_CASE("a pool does what the model says, whatever happens to it") {
    constexpr unsigned operations = 250;
    const auto [first, last] = seeds();
    model_counts sum;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        try {
            model_run run{seed};
            run.go(operations);
            run.add_to(sum);
        } catch (const model_failure& what) {
            FAIL("ROPEWAY_SEED=" << seed << ": " << what.what());
        }
    }
    ropeway_test::say(
        "seeds %llu..%llu: %llu operations, %llu leases, %llu timeouts, %llu refused, %llu kills, "
        "%llu outages, %llu leaks, %llu leases ended by force, %llu connections opened\n",
        static_cast<unsigned long long>(first), static_cast<unsigned long long>(last),
        static_cast<unsigned long long>(sum.operations),
        static_cast<unsigned long long>(sum.leases), static_cast<unsigned long long>(sum.timeouts),
        static_cast<unsigned long long>(sum.refused), static_cast<unsigned long long>(sum.kills),
        static_cast<unsigned long long>(sum.outages), static_cast<unsigned long long>(sum.leaks),
        static_cast<unsigned long long>(sum.forced), static_cast<unsigned long long>(sum.opened));
    // What a range of seeds must have come across, or the test would prove nothing.
    if (last - first >= 499) {
        CHECK(sum.operations == (last - first + 1) * operations);
        CHECK(sum.leases > 10'000);
        CHECK(sum.timeouts > 1000);
        CHECK(sum.kills > 1000);
        CHECK(sum.leaks > 100);
        CHECK(sum.forced > 100);
    }
}

}  // namespace
