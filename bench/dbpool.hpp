// SPDX-License-Identifier: Apache-2.0
//
// The parts of suite dbpool: rows of the pool alone, and rows beside a real PostgreSQL. Called by
// the measuring thread, one after the other.
#pragma once

#include <vector>

#include "suites.hpp"

namespace ropeway::bench {

/// Lending, snapshots and memory, over a resource that costs nothing.
void add_lending_rows(std::vector<row>& rows, const plan& how);
/// What needs a server; each row says why where there is none.
void add_server_rows(std::vector<row>& rows, const plan& how);

}  // namespace ropeway::bench
