// SPDX-License-Identifier: Apache-2.0
//
// The recorded files, where they are: the folder in ROPEWAY_DATA, or shared/data beside the
// checkout. Skipped elsewhere. The expected numbers come from the description of the data.
#include <ropeway/runtime/feed_files.hpp>

#include <cstdlib>
#include <filesystem>
#include <string>

#include <ropeway/runtime/feed_critical.hpp>
#include <ropeway/runtime/feed_peaks.hpp>
#include <ropeway_test.hpp>

using namespace ropeway;

namespace {

std::filesystem::path data_file(const std::string& name) {
    const char* const folder = std::getenv("ROPEWAY_DATA");
    const auto path =
        (folder != nullptr ? std::filesystem::path(folder)
                           : std::filesystem::path(ROPEWAY_SOURCE_DIR) / ".." / "shared" / "data") /
        name;
    if (!std::filesystem::exists(path)) {
        ROPEWAY_SKIP(
            ("no recorded market data: " + name + " (set ROPEWAY_DATA to its folder)").c_str());
    }
    return path;
}

const std::string miax_name = "miax_options_tom_v1.9_20161018_60s.pcap";
const std::string events_name = "binance_usdm_btcusdt_20240808_events.csv.gz";
const std::string trades_name = "binance_usdm_btcusdt_20240808_trades.csv";

struct replayed {
    feed_stats stats{};
    burst_meter peaks{};
    std::size_t instruments = 0;
};

replayed replay(feed& source) {
    replayed all;
    market_event event;
    while (source.next(event)) {
        if (event.kind != event_kind::heartbeat) {
            all.peaks.add(event.receive_ns);
        }
    }
    all.stats = source.stats();
    all.instruments = source.instruments().size();
    return all;
}

}  // namespace

TEST_CASE("the MIAX capture is read whole, with the counts of its description") {
    const auto source = open_feed(data_file(miax_name));
    const auto all = replay(*source);
    CHECK(all.stats.packets == 20'560);
    CHECK(all.stats.packets_skipped == 0);
    CHECK(all.stats.messages == 50'892);
    CHECK(all.stats.bids == 25'905);
    CHECK(all.stats.offers == 24'912);
    CHECK(all.stats.system_times == 60);
    CHECK(all.stats.of(event_kind::quote) == 25'905 + 24'912);
    CHECK(all.stats.of(event_kind::trade) == 15);
    CHECK(all.stats.of(event_kind::heartbeat) == 60);
    CHECK(all.stats.other_messages == 0);
    CHECK(all.stats.sequence_gaps == 0);
    CHECK(all.stats.sequence_repeats == 0);
    CHECK(all.stats.clock_steps_back == 0);
    CHECK(all.instruments == 4'773);
    CHECK(all.peaks.peak_in_1ms() == 422);
    // the description counts the system times too
    CHECK(all.peaks.peak_in_1s() + all.stats.system_times >= 5'961);
    CHECK(all.peaks.peak_in_1s() <= 5'961);
}

TEST_CASE("the Binance events are read whole, with the counts of their description") {
    const auto source = open_feed(data_file(events_name));
    const auto all = replay(*source);
    CHECK(all.stats.rows == 93'953);
    CHECK(all.stats.events == 93'953);
    CHECK(all.stats.of(event_kind::quote) == 66'089);
    CHECK(all.stats.of(event_kind::trade) == 21'313);
    CHECK(all.stats.of(event_kind::book_update) == 6'551);
    CHECK(all.stats.clock_steps_back == 0);
    CHECK(all.instruments == 1);
    CHECK(source->instruments().name_of(1) == "BTCUSDT");
    CHECK(all.peaks.peak_in_1ms() == 182);
    CHECK(all.peaks.peak_in_1s() == 2'527);
}

TEST_CASE("the Binance trades are read whole") {
    const auto source = open_feed(data_file(trades_name), {.symbol = "BTCUSDT"});
    const auto all = replay(*source);
    CHECK(all.stats.of(event_kind::trade) == 21'313);
    CHECK(all.peaks.peak_in_1ms() == 182);
    CHECK(all.peaks.peak_in_1s() == 1'650);
}

TEST_CASE("a replay can be given critical events") {
    const auto source = with_critical_events(open_feed(data_file(events_name)),
                                             {.execution_report_every = 50, .control_every = 500});
    const auto all = replay(*source);
    CHECK(all.stats.of(event_kind::execution_report) == 93'953 / 50);
    CHECK(all.stats.critical_inserted == 93'953 / 50 + 93'953 / 500);
    CHECK(all.stats.rows == 93'953);
}
