// SPDX-License-Identifier: Apache-2.0
//
// The whole component ropeway::sqlite: SQLite connections for a resource_pool. See the single
// headers for ownership and thread safety.
#pragma once

#include <ropeway/pool/sqlite/connection.hpp>
#include <ropeway/pool/sqlite/parameter.hpp>
#include <ropeway/pool/sqlite/result.hpp>
#include <ropeway/pool/sqlite/settings.hpp>
#include <ropeway/pool/sqlite/transaction.hpp>
