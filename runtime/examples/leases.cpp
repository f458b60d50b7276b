#include <cstdio>
#include <ropeway/pool/resource_pool.hpp>
#include <ropeway/runtime/database.hpp>
using namespace std::chrono_literals;

int main() {
    // POOL_* and DATABASE_URL of the environment; without them SQLite in memory, 2 to 10 connections.
    const auto config = ropeway::load_pool_config({.environment = ropeway::process_environment()});
    ropeway::resource_pool<ropeway::database_connection> pool{ropeway::database_connections(config), config.pool};
    if (auto failed = pool.start()) { return std::puts(failed->text().c_str()), 1; }  // why, and what to do
    auto lease = pool.acquire(2s);                                 // alive, nobody else's; goes back by itself
    if (!lease) { return std::puts(lease.error().text().c_str()), 1; }              // why, and who holds them
    auto answer = lease->exec("SELECT 6 * 7");
    if (!answer) { return std::puts(answer.error.text.c_str()), 1; }
    std::printf("%s: %s\n", to_string(lease->kind()).data(), answer.text(0, 0).c_str());
    lease.held().reset();
    return pool.shutdown(5s).clean() ? 0 : 1;
}
