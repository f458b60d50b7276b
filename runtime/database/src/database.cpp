// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/database.hpp>

#include <stdexcept>

#include "front.hpp"

namespace ropeway {

namespace {

[[noreturn, maybe_unused]] void absent(const pool_config& config, const char* component) {
    throw std::invalid_argument("database_url (" + masked_url(config.database_url) +
                                ") needs the component " + component +
                                ", which this build lacks. Suggestion: Build Ropeway with it, or "
                                "name another database");
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

}  // namespace ropeway
