// SPDX-License-Identifier: Apache-2.0
//
// A server's notices reach the runtime's log, with their level, and nothing else.
#include <ropeway/runtime/notice_log.hpp>

#include <mutex>
#include <string>
#include <vector>

#include "session.hpp"

namespace {

using namespace ropeway_test;
using namespace std::chrono_literals;

TEST_CASE("Notices of a session are records of the log") {
    std::mutex guard;
    std::vector<std::string> lines;
    {
        ropeway::logging_params params;
        params.callback = [&](ropeway::log_level level, std::string_view line) {
            const std::lock_guard held(guard);
            lines.push_back(std::string(to_string(level)) + ": " + std::string(line));
        };
        ropeway::logger log(params);
        const auto session = open_session(
            {.url = shared_server().url_unix(), .on_notice = ropeway::notice_log(log, "orders")});
        CHECK(session->exec("DO $$ BEGIN RAISE WARNING 'mind the gap'; END $$"));
        CHECK(session->exec("DO $$ BEGIN RAISE NOTICE 'for information'; END $$"));
        CHECK(log.flush(5s));
    }
    const std::lock_guard held(guard);
    REQUIRE(lines.size() == 2);
    CHECK(lines[0].starts_with("warning: "));
    CHECK(lines[0].find("Database notice pool=orders severity=WARNING code=01000 "
                        "text=\"mind the gap\"") != std::string::npos);
    CHECK(lines[1].starts_with("info: "));
}

}  // namespace
