// SPDX-License-Identifier: Apache-2.0
//
// What a test that needs PostgreSQL includes: the server, and the rule for a machine without one.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#include "postgres_server.hpp"
#include "ropeway_test.hpp"

namespace ropeway_test {

/// Where no server package is installed the program ends as skipped, with the reason; with CI=true
/// in the environment that is a failure: there the package has to be installed.
inline void require_postgres() {
    const std::string why = postgres_server::why_unavailable();
    if (why.empty()) {
        return;
    }
    const char* ci = std::getenv("CI");
    if (ci != nullptr && std::string_view{ci} == "true") {
        throw std::runtime_error{why + ", and CI=true says that it must be"};
    }
    ROPEWAY_SKIP(why.c_str());
}

/// The server that the test cases of one program share, started by the first that asks and running
/// again if the one before left it down.
[[nodiscard]] inline postgres_server& shared_server() {
    require_postgres();
    static postgres_server server;
    if (!server.running()) {
        server.start();
    }
    return server;
}

}  // namespace ropeway_test
