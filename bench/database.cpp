// SPDX-License-Identifier: Apache-2.0
#include "database.hpp"

#include <utility>

namespace ropeway::bench {

std::unique_ptr<database_pool> database_pool_of(const std::string& url, resource_pool_params params,
                                                bool accounts) {
    postgres::postgres_params to{.url = url, .application_name = "ropeway-bench"};
    if (accounts) {
        to.prepared.push_back({"balance", "SELECT balance FROM accounts WHERE id = $1"});
    }
    return std::make_unique<database_pool>(postgres::make_connections(std::move(to)),
                                           std::move(params));
}

resource_error run_on(database_connection& on, const char* sql,
                      std::chrono::milliseconds deadline) {
    return on.exec(sql, deadline).error();
}

void make_accounts(const ropeway_test::postgres_server& server, std::int64_t count) {
    server.exec(
        "CREATE TABLE accounts AS SELECT id::bigint, (id * 7 + 1)::bigint AS balance "
        "FROM generate_series(1, " +
        std::to_string(count) + ") AS id");
    server.exec("ALTER TABLE accounts ADD PRIMARY KEY (id)");
    server.exec("GRANT SELECT ON accounts TO " + std::string{ropeway_test::postgres_server::user});
}

resource_error read_balance(database_connection& on, std::int64_t id, std::int64_t& balance,
                            std::chrono::milliseconds deadline) {
    const postgres::result got = on.exec_prepared("balance", {id}, deadline);
    if (got) {
        balance = got.try_get<std::int64_t>(0, 0).value_or(0);
    }
    return got.error();
}

}  // namespace ropeway::bench
