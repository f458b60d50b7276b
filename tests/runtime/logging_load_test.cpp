// SPDX-License-Identifier: Apache-2.0
#include <semaphore>
#include <thread>

#include <ropeway/runtime/logging.hpp>
#include <ropeway_test.hpp>

#include "log_test_support.hpp"

using namespace ropeway_test;
using ropeway::log_level;
using ropeway::logger;
using ropeway::logging_params;

namespace {

/// A sink that stands still until it is let go.
struct stuck_sink {
    std::binary_semaphore entered{0};
    std::binary_semaphore let_go{0};
    bool first = true;
    lines caught;

    logging_params params() {
        logging_params out;
        out.format = ropeway::log_format::json;
        out.callback = [this](log_level, std::string_view line) {
            if (first) {
                first = false;
                entered.release();
                let_go.acquire();
            }
            caught.emplace_back(line);
        };
        return out;
    }
};

}  // namespace

TEST_CASE("a full queue drops the oldest lines, counts them and never holds the writer up") {
    stuck_sink sink;
    {
        logging_params params = sink.params();
        params.queue_capacity = 8;
        logger log{std::move(params)};
        log.write_each(log_level::info, "held", {});
        sink.entered.acquire();
        const ropeway::log_field none[] = {{"n", 0}};
        for (int i = 0; i < 100; ++i) {  // returns although nothing is taken from the queue
            CHECK(log.write_each(log_level::info, std::to_string(i), none));
        }
        CHECK(log.stats().dropped == 92);
        CHECK(log.approx_backlog() == 9);
        CHECK_FALSE(log.flush(1ms));
        sink.let_go.release();
        CHECK(log.flush(10s));
        CHECK(log.stats().accepted == 101);
        CHECK(log.stats().written == 9);
        CHECK(log.approx_backlog() == 0);
    }
    REQUIRE(sink.caught.size() == 10);
    CHECK(parsed(sink.caught[1])["message"] == "92");
    CHECK(parsed(sink.caught[8])["message"] == "99");
    CHECK(parsed(sink.caught[9])["lines_dropped"] == 92);
}

TEST_CASE("the destructor discards what a stuck sink did not take in time") {
    stuck_sink sink;
    std::binary_semaphore gone{0};
    logging_params params = sink.params();
    params.close_within = 10ms;
    auto log = std::make_unique<logger>(std::move(params));
    log->write_each(log_level::info, "held", {});
    sink.entered.acquire();
    for (int i = 0; i < 50; ++i) {
        log->write_each(log_level::info, "late", {});
    }
    std::thread closing{[&] {
        log.reset();
        gone.release();
    }};
    CHECK_FALSE(gone.try_acquire_for(400ms));  // waits for the one callback in progress
    sink.let_go.release();
    CHECK(gone.try_acquire_for(10s));
    closing.join();
    CHECK(sink.caught.size() == 1);
}

TEST_CASE("four threads at once: every record is written, dropped or suppressed, and counted") {
    constexpr int threads = 4;
    constexpr std::uint64_t each = 2000;
    lines caught;
    const hand_clock clock;
    ropeway::logging_stats stats;
    std::atomic<std::uint64_t> passed{0};
    {
        logging_params params = caught_in(caught, clock);
        params.queue_capacity = 64;
        params.rate_burst = 500;
        logger log{std::move(params)};
        std::vector<std::thread> writers;
        for (int t = 0; t < threads; ++t) {
            writers.emplace_back([&, t] {
                for (std::uint64_t i = 0; i < each; ++i) {
                    passed += log.write(log_level::info, "shared", {{"i", i}}) ? 1U : 0U;
                    log.write_keyed("own " + std::to_string(t), log_level::info, "own", {});
                }
            });
        }
        for (std::thread& writer : writers) {
            writer.join();
        }
        CHECK(log.flush(30s));
        clock.advance(2s);
        CHECK(log.write(log_level::info, "shared"));
        CHECK(log.flush(30s));
        stats = log.stats();
    }
    CHECK(passed == 500);
    CHECK(stats.suppressed == threads * each - 500 + threads * (each - 500));
    CHECK(stats.accepted == 500 + threads * 500 + 1);
    CHECK(stats.written + stats.dropped == stats.accepted);
    REQUIRE(caught.size() == stats.written + 1);
    const auto reopened = parsed(caught[caught.size() - 2]);
    CHECK(reopened["suppressed"] == threads * each - 500);
    std::size_t bad = 0;
    for (const std::string& line : caught) {
        bad += nlohmann::json::accept(line) ? 0U : 1U;
    }
    CHECK(bad == 0);
}
