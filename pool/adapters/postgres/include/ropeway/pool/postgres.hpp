// SPDX-License-Identifier: Apache-2.0
//
// The whole component ropeway::postgres: PostgreSQL connections for a resource_pool. See the single
// headers for ownership and thread safety.
//
//     ropeway::resource_pool<ropeway::postgres::connection> pool{
//         ropeway::postgres::make_connections({.url = "postgres://user:password@host/database"}),
//         {.name = "orders"}};
#pragma once

#include <ropeway/pool/postgres/cancel_token.hpp>
#include <ropeway/pool/postgres/connection.hpp>
#include <ropeway/pool/postgres/copy_writer.hpp>
#include <ropeway/pool/postgres/parameter.hpp>
#include <ropeway/pool/postgres/pipeline.hpp>
#include <ropeway/pool/postgres/result.hpp>
#include <ropeway/pool/postgres/settings.hpp>
#include <ropeway/pool/postgres/sqlstate.hpp>
#include <ropeway/pool/postgres/transaction.hpp>
