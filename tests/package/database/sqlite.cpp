// SPDX-License-Identifier: Apache-2.0
//
// A user's program on one adapter alone.
#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/pool/sqlite.hpp>

int main() {
    ropeway::resource_pool<ropeway::sqlite::connection> pool{ropeway::sqlite::make_connections({}),
                                                             {.name = "outside"}};
    if (pool.start()) {
        return 1;
    }
    return pool.acquire()->exec("SELECT 42").get<int>(0, 0) == 42 ? 0 : 1;
}
