// SPDX-License-Identifier: Apache-2.0
//
// Rows of suite dbpool where the server misbehaves. Called by the measuring thread.
#pragma once

#include <vector>

#include "postgres_server.hpp"
#include "suites.hpp"

namespace ropeway::bench {

void add_dead_handed_out(std::vector<row>& rows, const plan& how,
                         const ropeway_test::postgres_server& server);
void add_deadline_overrun(std::vector<row>& rows, const plan& how,
                          const ropeway_test::postgres_server& server);
void add_recovery(std::vector<row>& rows, const plan& how, ropeway_test::postgres_server& server);

}  // namespace ropeway::bench
