// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/logging.hpp>

#include <array>
#include <bit>
#include <limits>
#include <random>

#include <ropeway_test.hpp>

#include "log_test_support.hpp"

using namespace ropeway_test;
using ropeway::log_field;
using ropeway::log_format;
using ropeway::log_level;
using ropeway::logger;
using ropeway::logging_params;

TEST_CASE("a record becomes one JSON object with its fields") {
    lines out;
    {
        logger log{caught_in(out, {})};
        log.write(log_level::warning, "consumer failed",
                  {{"trace_id", ropeway::trace_id{0x0123456789abcdef, 0x2a}},
                   {"consumer", std::string{"risk"}},
                   {"kind", std::uint8_t{6}},
                   {"delta", -7},
                   {"big", std::numeric_limits<std::uint64_t>::max()},
                   {"ratio", 0.25},
                   {"late", true}});
    }
    REQUIRE(out.size() == 1);
    CHECK(
        out[0] ==
        R"({"time":"2024-02-29T23:59:59.000000001Z","level":"warning","message":"consumer failed",)"
        R"("trace_id":"0123456789abcdef000000000000002a","consumer":"risk","kind":6,"delta":-7,)"
        R"("big":18446744073709551615,"ratio":0.25,"late":true})");
    CHECK(parsed(out[0])["kind"] == 6);
}

TEST_CASE("a record becomes one line of text with quotes where they are needed") {
    lines out;
    {
        logger log{caught_in(out, {}, log_format::text)};
        log.write(log_level::error, "ring full\nstill",
                  {{"publisher", "feed"}, {"why", "slow \"risk\""}, {"empty", ""}, {"n", 3U}});
    }
    REQUIRE(out.size() == 1);
    CHECK(out[0] ==
          "2024-02-29T23:59:59.000000001Z [error] ring full\\nstill publisher=feed "
          "why=\"slow \\\"risk\\\"\" empty=\"\" n=3");
}

TEST_CASE("whatever bytes a text holds, its line is valid JSON on one line") {
    const std::string_view replaced = "\xEF\xBF\xBD";
    struct sample {
        std::string given;
        std::string expected;
    };
    const std::vector<sample> samples{
        {std::string("a\0b", 3), std::string("a\0b", 3)},
        {"tab\tline\nreturn\rbell\a\x7f", "tab\tline\nreturn\rbell\a\x7f"},
        {R"(quote " and \ backslash)", R"(quote " and \ backslash)"},
        {"\xff", std::string{replaced}},
        {"\xc0\xaf", std::string{replaced} + std::string{replaced}},  // overlong
        {"\xed\xa0\x80!",
         std::string{replaced} + std::string{replaced} + std::string{replaced} + "!"},  // surrogate
        {"\xf4\x90\x80\x80", std::string{replaced} + std::string{replaced} + std::string{replaced} +
                                 std::string{replaced}},  // > U+10FFFF
        {"cut \xe2\x82", "cut " + std::string{replaced} + std::string{replaced}},
        {"\xe2\x82\xac \xf0\x9f\x9a\xa1", "\xe2\x82\xac \xf0\x9f\x9a\xa1"},  // valid: kept
    };
    lines out;
    {
        logger log{caught_in(out, {})};
        for (const sample& s : samples) {
            log.write_each(log_level::info, s.given, {});
        }
    }
    REQUIRE(out.size() == samples.size());
    for (std::size_t i = 0; i < samples.size(); ++i) {
        CHECK(out[i].find('\n') == std::string::npos);
        CHECK(parsed(out[i])["message"].get<std::string>() == samples[i].expected);
    }
}

TEST_CASE("ten thousand random texts, keys and numbers give ten thousand valid lines") {
    std::mt19937_64 random{20240229};
    const auto noise = [&] {
        std::string text(random() % 40, '\0');
        for (char& c : text) {
            c = static_cast<char>(random());
        }
        return text;
    };
    lines out;
    {
        logging_params params = caught_in(out, {});
        params.queue_capacity = 16384;
        params.max_text_bytes = 16;
        logger log{std::move(params)};
        for (int i = 0; i < 10'000; ++i) {
            const std::string key = noise();
            const std::string value = noise();
            const double number = std::bit_cast<double>(random());
            const std::array<log_field, 2> fields{{{key, value}, {"number", number}}};
            log.write_each(log_level::info, noise(), fields);
        }
    }
    CHECK(out.size() == 10'000);
    std::size_t bad = 0;
    for (const std::string& line : out) {
        bad += nlohmann::json::accept(line) && line.find('\n') == std::string::npos ? 0U : 1U;
    }
    CHECK(bad == 0);
}

TEST_CASE("a number that JSON lacks is written as text, and a field cannot pose as ours") {
    lines out;
    {
        logger log{caught_in(out, {})};
        log.write(log_level::info, "m",
                  {{"a", std::numeric_limits<double>::quiet_NaN()},
                   {"b", -std::numeric_limits<double>::infinity()},
                   {"level", "forged"}});
    }
    REQUIRE(out.size() == 1);
    CHECK(parsed(out[0])["a"] == "nan");
    CHECK(parsed(out[0])["b"] == "-inf");
    CHECK(parsed(out[0])["level"] == "info");
    CHECK(parsed(out[0])["level_"] == "forged");
}

TEST_CASE("a long text is cut between characters and marked") {
    lines out;
    {
        logging_params params = caught_in(out, {});
        params.max_text_bytes = 16;
        logger log{std::move(params)};
        log.write_each(log_level::info, std::string(14, 'x') + "\xe2\x82\xac", {});
        log.write_each(log_level::info, std::string(16, 'y'), {});
    }
    REQUIRE(out.size() == 2);
    CHECK(parsed(out[0])["message"] == std::string(14, 'x') + "...");
    CHECK(parsed(out[1])["message"] == std::string(16, 'y'));
}

TEST_CASE("records below the level are ignored") {
    lines out;
    {
        logging_params params = caught_in(out, {});
        params.level = log_level::warning;
        logger log{std::move(params)};
        CHECK_FALSE(log.enabled(log_level::info));
        CHECK(log.enabled(log_level::error));
        CHECK_FALSE(log.enabled(log_level::off));
        CHECK_FALSE(log.write(log_level::info, "no"));
        CHECK(log.write(log_level::warning, "yes"));
    }
    REQUIRE(out.size() == 1);
    CHECK(parsed(out[0])["message"] == "yes");
}

TEST_CASE("a message has a rate, and the number suppressed is told when it opens again") {
    lines out;
    const hand_clock clock;
    {
        logging_params params = caught_in(out, clock);
        params.rate_burst = 3;
        logger log{std::move(params)};
        for (int i = 0; i < 10; ++i) {
            CHECK(log.write(log_level::info, "pool exhausted", {{"i", i}}) == (i < 3));
        }
        CHECK(log.write(log_level::info, "another message"));
        clock.advance(2s);
        CHECK(log.write(log_level::info, "pool exhausted", {{"i", 10}}));
        CHECK(log.write(log_level::info, "pool exhausted", {{"i", 11}}));
        clock.advance(2s);
        CHECK(log.write(log_level::info, "pool exhausted", {{"i", 12}}));
        CHECK(log.flush(5s));
        CHECK(log.stats().suppressed == 7);
        CHECK(log.stats().written == 7);
    }
    REQUIRE(out.size() == 8);
    CHECK_FALSE(parsed(out[2]).contains("suppressed"));
    CHECK(parsed(out[4])["i"] == 10);
    CHECK(parsed(out[4])["suppressed"] == 7);
    CHECK_FALSE(parsed(out[5]).contains("suppressed"));
    CHECK_FALSE(parsed(out[6]).contains("suppressed"));
    CHECK(parsed(out[7])["message"] == "the log is incomplete");
    CHECK(parsed(out[7])["lines_suppressed"] == 7);
}

TEST_CASE("a key gives messages that vary one rate, and write_each has none") {
    lines out;
    {
        logging_params params = caught_in(out, {});
        params.rate_burst = 2;
        logger log{std::move(params)};
        for (int i = 0; i < 5; ++i) {
            log.write_keyed("slow", log_level::info, "slow " + std::to_string(i), {});
        }
        for (int i = 0; i < 5; ++i) {
            log.write_each(log_level::info, "each", {});
        }
        CHECK(log.flush(5s));
        CHECK(log.stats().written == 7);
    }
}

TEST_CASE("a clock set back does not silence a message") {
    lines out;
    const hand_clock clock;
    logging_params params = caught_in(out, clock);
    params.rate_burst = 1;
    logger log{std::move(params)};
    CHECK(log.write(log_level::info, "m"));
    clock.advance(-1h);
    CHECK(log.write(log_level::info, "m"));
    CHECK_FALSE(log.write(log_level::info, "m"));
}

TEST_CASE("illegal parameters are refused with field, value and range") {
    const auto refusal = [](auto change) -> std::string {
        logging_params params;
        change(params);
        try {
            const logger log{params};
        } catch (const std::invalid_argument& error) {
            return error.what();
        }
        return "accepted";
    };
    CHECK(refusal([](logging_params& p) { p.queue_capacity = 1; }) ==
          "logging_params::queue_capacity is 1; it must be 2..1048576");
    CHECK(refusal([](logging_params& p) { p.rate_burst = 0; }) ==
          "logging_params::rate_burst is 0; it must be at least 1");
    CHECK(refusal([](logging_params& p) { p.rate_interval = 0ms; }) ==
          "logging_params::rate_interval is 0; it must be at least 1 ms");
    CHECK(refusal([](logging_params& p) { p.max_text_bytes = 8; }) ==
          "logging_params::max_text_bytes is 8; it must be 16..65536");
    CHECK(refusal([](logging_params& p) { p.close_within = -1ms; }) ==
          "logging_params::close_within is negative; it must be 0 or more");
    CHECK(refusal([](logging_params&) {}) == "accepted");
}
