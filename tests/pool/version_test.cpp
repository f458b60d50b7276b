// SPDX-License-Identifier: Apache-2.0
//
// The version a program reports is the one of the library it linked.
#include <ropeway/pool/version.hpp>

#include <ropeway_test.hpp>

#include <algorithm>

TEST_CASE("the version is three numbers separated by dots") {
    const auto text = ropeway::version();
    REQUIRE(std::count(text.begin(), text.end(), '.') == 2);
    REQUIRE(text.find_first_not_of("0123456789.") == std::string_view::npos);
}
