// SPDX-License-Identifier: Apache-2.0
//
// Fills the process-wide site table, hence a program of its own.
#include <ropeway/pool/site.hpp>

#include <ropeway_test.hpp>

using namespace ropeway;

TEST_CASE("a full site table gives one number to the rest and forgets none") {
    const site_id first = intern_site("before the flood", 1);
    site_id last = 0;
    for (std::uint32_t i = 0; i != max_sites + 10; ++i) {
        last = intern_site("flood", i + 1);
    }
    REQUIRE(last == known_site::table_full);
    REQUIRE(site_text(last) == "a site beyond the table");
    REQUIRE(site_text(first) == "before the flood:1");
    REQUIRE(intern_site("before the flood", 1) == first);
}
