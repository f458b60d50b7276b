// SPDX-License-Identifier: Apache-2.0
#include <ropeway_test.hpp>

#include "plot.hpp"

using namespace ropeway::bench;

TEST_CASE("a plot has a line and a mark for each point, and its texts are escaped") {
    const plot what{.title = "rate < 1 & more",
                    .below = "consumers",
                    .beside = "M/s",
                    .note = "here",
                    .x = {1, 2, 50},
                    .lines = {{"ours", {30, 20, 5}}, {"theirs", {10, 8, 1}}},
                    .log_y = GENERATE(false, true)};
    const std::string svg = to_svg(what);
    CHECK(svg.starts_with("<svg "));
    CHECK(svg.ends_with("</svg>\n"));
    CHECK(svg.find("rate &lt; 1 &amp; more") != std::string::npos);
    std::size_t circles = 0;
    for (std::size_t at = svg.find("<circle"); at != std::string::npos;
         at = svg.find("<circle", at + 1)) {
        ++circles;
    }
    CHECK(circles == 6);
    CHECK(svg.find("ours at 50: 5") != std::string::npos);
    CHECK(svg.find("nan") == std::string::npos);
    CHECK(svg.find("inf") == std::string::npos);
}
