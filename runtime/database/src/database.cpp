// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/database.hpp>

#include <algorithm>
#include <atomic>
#include <stdexcept>

#include <ropeway/pool/end_of_wait.hpp>

#include "front.hpp"

namespace ropeway {

namespace {

[[noreturn, maybe_unused]] void absent(const pool_config& config, const char* component) {
    throw std::invalid_argument("database_url (" + masked_url(config.database_url) +
                                ") needs the component " + component +
                                ", which this build lacks. Suggestion: Build Ropeway with it, or "
                                "name another database");
}

database_rows one_try(resource_pool<database_connection>& pool, std::chrono::nanoseconds left,
                      const std::function<database_rows(database_connection&)>& work) {
    auto lease = pool.acquire(left);
    if (!lease) {
        return {.error = {lease.error().kind, {}, lease.error().text()}};
    }
    return work(*lease);
}

void wait_until(resource_time& time, resource_clock_point until) noexcept {
    std::atomic<std::uint32_t> never{0};
    while (time.now() < until) {
        time.wait(never, 0, until);
    }
}

}  // namespace

database_factory database_connections(const pool_config& config, [[maybe_unused]] logger* log) {
    if (database_kind_of(config.database_url) == database_kind::postgres) {
#ifdef ROPEWAY_HAS_postgres
        return detail::postgres_front(config, log);
#else
        absent(config, "postgres");
#endif
    }
#ifdef ROPEWAY_HAS_sqlite
    return detail::sqlite_front(config);
#else
    absent(config, "sqlite");
#endif
}

repeatable_result run_repeatable(resource_pool<database_connection>& pool,
                                 const pool_config& config,
                                 const std::function<database_rows(database_connection&)>& work,
                                 std::chrono::nanoseconds timeout) {
    resource_time& time = config.pool.time != nullptr ? *config.pool.time : real_resource_time();
    const resource_clock_point began = time.now();
    const resource_clock_point end =
        detail::end_of_wait(began, timeout.count() != 0 ? timeout : config.pool.acquire_timeout);
    // Callers that fail together must not try again together.
    const auto moment = static_cast<std::uint64_t>(began.time_since_epoch().count());
    reconnect_schedule delays{config.retry, config.pool.seed != 0 ? config.pool.seed : moment};
    repeatable_result out;
    for (;;) {
        // An acquire's 0 would be the pool's own timeout.
        const auto left =
            std::max<std::chrono::nanoseconds>(end - time.now(), std::chrono::nanoseconds{1});
        out.rows = one_try(
            pool, std::min<std::chrono::nanoseconds>(left, config.pool.acquire_timeout), work);
        ++out.attempts;
        if (!is_retryable(out.rows.error.kind) || out.attempts == config.retry.max_attempts) {
            return out;
        }
        const std::chrono::nanoseconds delay = delays.next(false);
        if (delay >= end - time.now()) {  // `never` as well
            return out;
        }
        wait_until(time, time.now() + delay);
    }
}

}  // namespace ropeway
