// SPDX-License-Identifier: Apache-2.0
//
// Ours beside a server: a pool of PostgreSQL connections, and the least that rows do with one.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include <ropeway/pool/postgres/connection.hpp>
#include <ropeway/pool/resource_pool.hpp>

#include "postgres_server.hpp"

namespace ropeway::bench {

using database_connection = postgres::connection;
using database_pool = resource_pool<database_connection>;

/// Not yet started. Its connections have prepared read_balance()'s statement if `accounts`.
[[nodiscard]] std::unique_ptr<database_pool> database_pool_of(const std::string& url,
                                                              resource_pool_params params,
                                                              bool accounts = false);
/// Runs one statement. @return what went wrong; kind none if nothing did.
[[nodiscard]] resource_error run_on(database_connection& on, const char* sql,
                                    std::chrono::milliseconds deadline);

/// Makes the table that read_balance() reads: balance_of(id) for each id from 1.
void make_accounts(const ropeway_test::postgres_server& server, std::int64_t count);
[[nodiscard]] constexpr std::int64_t balance_of(std::int64_t id) noexcept { return id * 7 + 1; }
[[nodiscard]] resource_error read_balance(database_connection& on, std::int64_t id,
                                          std::int64_t& balance,
                                          std::chrono::milliseconds deadline);

}  // namespace ropeway::bench
