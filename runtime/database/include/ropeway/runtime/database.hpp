// SPDX-License-Identifier: Apache-2.0
//
// A connection to the database that DATABASE_URL names, whichever adapter serves it: SQL in, rows
// of text out. For programs that run on the embedded default and on a server alike; what only one
// database has (COPY, pipelines, typed values) is in its adapter, see native().
//
//     const auto config =
//         ropeway::load_pool_config({.environment = ropeway::process_environment()});
//     auto& pool = rt.add_pool<ropeway::database_connection>(
//         config, ropeway::database_connections(config, &rt.log()));
//
// or, without a runtime, a resource_pool<database_connection> of the same two.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway/pool/pooled_resource.hpp>
#include <ropeway/pool/resource_error.hpp>
#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/runtime/database_url.hpp>
#include <ropeway/runtime/logging.hpp>
#include <ropeway/runtime/pool_config.hpp>

namespace ropeway {

/// What a statement returned, or why it failed. A plain value, owned by whoever asked.
struct [[nodiscard]] database_rows {
    using field = std::optional<std::string>;  ///< empty: NULL

    resource_error error{};  ///< kind none if the statement succeeded
    std::vector<std::string> columns{};
    std::vector<std::vector<field>> rows{};
    std::uint64_t affected = 0;  ///< rows inserted, updated or deleted; 0 for a SELECT

    [[nodiscard]] explicit operator bool() const noexcept { return !error; }
    /// The field as text; empty for NULL, and outside the rows.
    [[nodiscard]] const std::string& text(std::size_t row, std::size_t column) const noexcept {
        static const std::string none;
        const bool there =
            row < rows.size() && column < rows[row].size() && rows[row][column].has_value();
        return there ? *rows[row][column] : none;
    }
};

/// Ownership and threads: as its adapter's connection; see ropeway::sqlite and ropeway::postgres.
class database_connection : public pooled_resource {
  public:
    /// Text, or NULL.
    using parameter = std::optional<std::string_view>;

    /// Which database this is.
    [[nodiscard]] virtual database_kind kind() const noexcept = 0;
    /// Runs `sql` with its parameters $1, $2..., each named once and in this order; without
    /// parameters it may hold several statements, and the rows are the last one's. `timeout` 0:
    /// command_timeout of the config.
    virtual database_rows exec(std::string_view sql, std::span<const parameter> values = {},
                               std::chrono::nanoseconds timeout = {}) = 0;
    database_rows exec(std::string_view sql, std::initializer_list<parameter> values,
                       std::chrono::nanoseconds timeout = {}) {
        return exec(sql, std::span{values.begin(), values.size()}, timeout);
    }
    /// The adapter's connection, a sqlite::connection or a postgres::connection by kind().
    [[nodiscard]] virtual pooled_resource& native() noexcept = 0;
};

using database_factory = std::function<std::unique_ptr<database_connection>()>;

/// What a resource_pool<database_connection> makes its resources with, of the database that the
/// config names. A server's notices become records of `log`, which must outlive the connections;
/// null: they are dropped. @throws std::invalid_argument if that database's adapter is not in this
/// build, or refuses the URL
[[nodiscard]] database_factory database_connections(const pool_config& config,
                                                    logger* log = nullptr);

/// What run_repeatable() came to.
struct [[nodiscard]] repeatable_result {
    database_rows rows{};        ///< of the last try; its error, if no lease was to be had
    std::uint32_t attempts = 0;  ///< tries, those without a lease included
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(rows); }
};

/// Leases a connection and calls `work`, and both again after a failure that may go away by itself
/// (is_retryable()): config.retry.max_attempts tries in all (POOL_RETRY_ATTEMPTS), config.retry's
/// delays between them. `work` must be such that it does no harm twice: a query, an upsert. What
/// it throws passes on. Blocks the calling thread; no try begins later than `timeout` after the
/// call; zero: the pool's acquire_timeout; nanoseconds::max(): for ever; negative: one try. From
/// any thread.
repeatable_result run_repeatable(resource_pool<database_connection>& pool,
                                 const pool_config& config,
                                 const std::function<database_rows(database_connection&)>& work,
                                 std::chrono::nanoseconds timeout = {});

}  // namespace ropeway
