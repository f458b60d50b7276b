// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/sqlite.hpp>

#include "front.hpp"

namespace ropeway::detail {

database_factory sqlite_front(const pool_config& config) {
    sqlite::sqlite_params params = sqlite::params_from_url(config.database_url);
    params.command_timeout = config.command_timeout;
    params.time = config.pool.time;
    return [make = sqlite::make_connections(std::move(params))] {
        using made = front<sqlite::connection, sqlite::parameter, database_kind::sqlite>;
        return std::make_unique<made>(make());
    };
}

}  // namespace ropeway::detail
