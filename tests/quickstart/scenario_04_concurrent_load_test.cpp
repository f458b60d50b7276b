// SPDX-License-Identifier: Apache-2.0
//
// Quickstart scenario 4: 100 requests at once, each a query of 10 ms, against at most 10
// connections: all done, never more than 10 in use, nobody waits at the end.
#include <atomic>

#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

TEST_CASE("quickstart 4: a hundred concurrent requests are all served by ten connections") {
    auto& server = ropeway_test::shared_server();
    const auto pool = make_pool({.name = "qs4", .max_size = 10});
    REQUIRE(start_error(*pool) == "");
    std::atomic<int> done{0};
    std::atomic<std::size_t> most_sessions{0};
    on_threads(101, [&](std::size_t which) {
        if (which == 100) {
            // What the server itself counts, until all are done.
            static_cast<void>(eventually(
                [&] {
                    most_sessions = std::max(most_sessions.load(), server.backends().size());
                    return done.load() >= 100;
                },
                20s));
            return;
        }
        auto got = pool->acquire(30s);
        if (got && got->exec("SELECT pg_sleep(0.01)")) {
            ++done;
        }
    });
    CHECK(done == 100);
    CHECK(most_sessions <= 10);
    const auto found = pool->snapshot();
    CHECK(found.peak_active <= 10);
    CHECK(found.waiting == 0);
    CHECK(found.active == 0);
    CHECK(found.acquired == 100);
    CHECK(found.timeouts == 0);
    CHECK(pool->shutdown(5s).clean());
}

}  // namespace
