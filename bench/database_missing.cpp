// SPDX-License-Identifier: Apache-2.0
//
// Stands for the rows that need a server, in a build without the postgres adapter.
#include <iterator>
#include <utility>

#include "database_rows.hpp"
#include "dbpool.hpp"
#include "suites.hpp"

namespace ropeway::bench {
namespace {
constexpr const char* why = "this build has no postgres adapter (libpq-dev was not found)";
}  // namespace

void add_server_rows(std::vector<row>& rows, const plan&) {
    std::vector<row> none = unmeasured("dbpool", why);
    std::move(none.begin(), none.end(), std::back_inserter(rows));
}

std::vector<row> run_dbload(const plan&) { return unmeasured("dbload", why); }

}  // namespace ropeway::bench
