// SPDX-License-Identifier: Apache-2.0
#include <ropeway/pool/postgres.hpp>
#include <ropeway/runtime/notice_log.hpp>

#include "front.hpp"

namespace ropeway::detail {

database_factory postgres_front(const pool_config& config, logger* log) {
    postgres::postgres_params params{.url = config.database_url};
    params.command_timeout = config.command_timeout;
    if (log != nullptr) {
        params.on_notice = notice_log{*log, config.pool.name};
    }
    return [make = postgres::make_connections(std::move(params))] {
        using made = front<postgres::connection, postgres::parameter, database_kind::postgres>;
        return std::make_unique<made>(make());
    };
}

}  // namespace ropeway::detail
