// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/feed_files.hpp>

#include <ropeway_test.hpp>

#include "feed_bytes_for_tests.hpp"

using namespace ropeway;
using namespace ropeway_test;

namespace {

outcome row(const std::string& text) { return read_all(events_header + text + "\n"); }
outcome trade_at(const std::string& price) {
    // appended in steps: GCC 12 warns of an overlap in a chain of + that cannot be
    std::string text = "1,1,trade,S,1,";
    text += price;
    text += ",1,,,1";
    return row(text);
}

}  // namespace

TEST_CASE("the three kinds of Binance rows are decoded to the last digit") {
    const auto read = read_all(small_csv());
    REQUIRE_FALSE(read.error);
    REQUIRE(read.events.size() == 3);

    const auto& depth = read.events[0];
    CHECK(depth.kind == event_kind::book_update);
    CHECK(depth.receive_ns == 1'700'000'000'000'000'100);
    CHECK(depth.exchange_ns == 1'700'000'001'000'000'000);
    CHECK(depth.exchange_id == 41);
    CHECK(depth.instrument == 1);
    CHECK(depth.flags == 65535);
    CHECK(depth.price == 0);

    const auto& quote = read.events[1];
    CHECK(quote.kind == event_kind::quote);
    CHECK(quote.side == event_side::none);
    CHECK(quote.price == 10'010'000'000);
    CHECK(quote.quantity == 700'000);
    CHECK(quote.price2 == 10'020'000'000);
    CHECK(quote.quantity2 == 1'200'000'000);

    const auto& trade = read.events[2];
    CHECK(trade.kind == event_kind::trade);
    CHECK(trade.instrument == 2);
    CHECK(trade.price == 1);
    CHECK(trade.quantity == 350'000'000);

    CHECK(read.stats.rows == 3);
    CHECK(read.stats.messages == 3);
    CHECK(read.stats.of(event_kind::book_update) == 1);
}

TEST_CASE("lines may end in carriage return and newline") {
    bytes text = small_csv();
    for (std::size_t at = 0; (at = text.find('\n', at)) != bytes::npos; at += 2) {
        text.insert(at, 1, '\r');
    }
    const auto read = read_all(text);
    CHECK_FALSE(read.error);
    CHECK(read.events == read_all(small_csv()).events);
}

TEST_CASE("the trades layout takes its instrument from the parameters") {
    const bytes text = trades_header + "5,6,7,61800.30,0.006,1\n8,9,10,1,2,0\n";
    const auto opened = feed_of(text, {.symbol = "BTCUSDT"});
    market_event event;
    REQUIRE(opened->next(event));
    CHECK(event.kind == event_kind::trade);
    CHECK(event.price == 6'180'030'000'000);
    CHECK(event.quantity == 600'000);
    CHECK(event.flags == 1);
    CHECK(event.exchange_id == 7);
    CHECK(opened->instruments().name_of(event.instrument) == "BTCUSDT");
    REQUIRE(opened->next(event));
    CHECK(event.flags == 0);
    CHECK_FALSE(opened->next(event));
}

TEST_CASE("prices are parsed exactly, and what is no price is refused with its value") {
    CHECK(trade_at("92233720368.54775807").events.at(0).price == INT64_MAX);
    CHECK(trade_at("0.1").events.at(0).price == 10'000'000);
    CHECK(trade_at("007").events.at(0).price == 700'000'000);
    for (const auto* const bad :
         {"92233720368.54775808", "0.123456789", ".5", "5.", ".", "1.2.3", "-1", "+1", "1e5", "0x1",
          " 1", "1 ", "nan", "99999999999999999999"}) {
        const auto read = trade_at(bad);
        INFO(bad);
        REQUIRE(read.failed_with(feed_fault::bad_value));
        CHECK(read.error->value() == bad);
        CHECK(read.error->place().line == 2);
        CHECK(read.error->place().offset == events_header.size());
        CHECK(read.error->problem().starts_with("price1: "));
        CHECK_FALSE(read.error->remedy().empty());
    }
    CHECK(trade_at("").error->value() == "(empty)");
}

TEST_CASE("every field of a row is checked") {
    for (const auto* const bad : {
             "x,1,trade,S,1,1,1,,,1",                     // receive stamp
             "-1,1,trade,S,1,1,1,,,1",                    // negative
             "99999999999999999999,1,trade,S,1,1,1,,,1",  // too large
             "1,99999999999999999,trade,S,1,1,1,,,1",     // exchange ms overflow in ns
             "1,1,liquidation,S,1,1,1,,,1",               // kind
             "1,1,trade,,1,1,1,,,1",                      // symbol
             "1,1,trade,with space,1,1,1,,,1",            //
             "1,1,trade,012345678901234567890123456789012,1,1,1,,,1",
             "1,1,trade,S,x,1,1,,,1",        // id
             "1,1,trade,S,1,1,,,,1",         // quantity missing
             "1,1,trade,S,1,1,1,1,,1",       // must be empty
             "1,1,trade,S,1,1,1,,,",         // levels missing
             "1,1,trade,S,1,1,1,,,-1",       //
             "1,1,bookTicker,S,1,1,1,1,,2",  // one side missing
             "1,1,depthUpdate,S,1,1,,,,2",   // must be empty
         }) {
        INFO(bad);
        CHECK(row(bad).failed_with(feed_fault::bad_value));
    }
    CHECK(row("").failed_with(feed_fault::corrupt));
    CHECK(row("1,1,trade,S,1,1,1,,1").failed_with(feed_fault::corrupt));
    CHECK(row("1,1,trade,S,1,1,1,,,1,").failed_with(feed_fault::corrupt));
    CHECK(row(std::string(2000, '1')).failed_with(feed_fault::corrupt));
    CHECK(read_all(trades_header + "1,1,1,1,1,2\n").failed_with(feed_fault::bad_value));
}

TEST_CASE("a file without rows, or with another header, is refused") {
    CHECK(read_all(events_header).failed_with(feed_fault::empty));
    CHECK(read_all("recv_ns,exch_ms\n1,1\n").failed_with(feed_fault::unknown_format));
    CHECK(read_all("recv_ns,").failed_with(feed_fault::truncated));
    CHECK(read_all("recv").failed_with(feed_fault::truncated));
}

TEST_CASE("a last row without its newline is an error even if it looks complete") {
    auto text = small_csv();
    text.pop_back();
    const auto read = read_all(text);
    CHECK(read.events.size() == 2);
    REQUIRE(read.failed_with(feed_fault::truncated));
    CHECK(read.error->place().line == 4);
}

TEST_CASE(
    "receive stamps never fall: small steps back are raised and counted, large ones refused") {
    const auto stamps = [](const std::string& first, const std::string& second) {
        return read_all(events_header + first + ",1,trade,S,1,1,1,,,1\n" + second +
                        ",1,trade,S,1,1,1,,,1\n");
    };
    const auto small = stamps("5000000000", "4000000000");
    CHECK_FALSE(small.error);
    CHECK(small.events.at(1).receive_ns == 5'000'000'000);
    CHECK(small.stats.clock_steps_back == 1);
    CHECK(stamps("5000000000", "3999999999").failed_with(feed_fault::out_of_order));
    CHECK_FALSE(stamps("0", "3600000000000").error);
    CHECK(stamps("0", "3600000000001").failed_with(feed_fault::out_of_order));
}

TEST_CASE("more instruments than the bound is an error that names the bound") {
    const auto read = read_all(small_csv(), {.max_instruments = 1});
    REQUIRE(read.failed_with(feed_fault::too_many_instruments));
    CHECK(read.error->value() == "BBBUSDT");
    CHECK(read.error->remedy().find("max_instruments") != std::string::npos);
}
