// SPDX-License-Identifier: Apache-2.0
//
// Pools of PostgreSQL connections for the quickstart scenarios that want a real server.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <ropeway/pool/postgres.hpp>

#include "postgres_test.hpp"
#include "quickstart.hpp"

namespace quickstart {

using postgres_pool = ropeway::resource_pool<ropeway::postgres::connection>;

/// Against the program's server, by TCP with a SCRAM password. Not yet started.
[[nodiscard]] inline std::unique_ptr<postgres_pool> make_pool(
    ropeway::resource_pool_params params = {}) {
    ropeway::postgres::postgres_params settings;
    settings.url = ropeway_test::shared_server().url_tcp();
    return std::make_unique<postgres_pool>(ropeway::postgres::make_connections(std::move(settings)),
                                           std::move(params));
}

/// Why start() failed; empty if it did not.
[[nodiscard]] inline std::string start_error(postgres_pool& pool) {
    const auto failed = pool.start();
    return failed.has_value() ? failed->text() : std::string{};
}

/// Runs `work` on each of `count` threads and joins them.
template <class F>
void on_threads(std::size_t count, F&& work) {
    std::vector<std::thread> threads;
    threads.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        threads.emplace_back([&work, i] { work(i); });
    }
    for (std::thread& one : threads) {
        one.join();
    }
}

/// Waits until `holds` on real time; a test must not sleep, so it asks. @return false after
/// `limit`.
template <class F>
[[nodiscard]] bool eventually(F&& holds, std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    std::atomic<std::uint32_t> never{0};
    while (!holds()) {
        const auto now = std::chrono::steady_clock::now();
        if (now >= until) {
            return false;
        }
        ropeway::real_resource_time().wait(never, 0, now + 1ms);
    }
    return true;
}

}  // namespace quickstart
