// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/feed_files.hpp>

#include <ropeway_test.hpp>

#include "feed_bytes_for_tests.hpp"

using namespace ropeway;
using namespace ropeway_test;

namespace {

constexpr std::int64_t second_ns = 1'000'000'000;

bytes one_packet(const bytes& payload, const pcap_style& style = {}) {
    return pcap_header(style) + pcap_record(base_second, 0, udp_frame(payload, style), style);
}
bytes one_message(const bytes& body) { return one_packet(miax_message(1, body)); }
const bytes a_bid = compact('B', 5, 900, 1234, 10);

}  // namespace

TEST_CASE("MIAX messages become events with exact prices, side, stamps and dense instruments") {
    const bytes recording = small_pcap();
    const auto opened = feed_of(recording);
    std::vector<market_event> events;
    market_event event;
    while (opened->next(event)) {
        events.push_back(event);
    }
    REQUIRE(events.size() == 4);

    CHECK(events[0].kind == event_kind::quote);
    CHECK(events[0].side == event_side::bid);
    CHECK(events[0].price == 1'234'000'000);
    CHECK(events[0].quantity == 1'000'000'000);
    CHECK(events[0].price2 == 0);
    CHECK(events[0].flags == 'A');
    CHECK(events[0].exchange_id == 11);
    CHECK(events[0].receive_ns == base_second * second_ns + 100);
    CHECK(events[0].exchange_ns == (base_second + 1) * second_ns + 5);
    CHECK(events[0].instrument == 1);
    CHECK(opened->instruments().name_of(1) == "900");

    CHECK(events[1].side == event_side::offer);
    CHECK(events[1].price == 1'240'000'000);
    CHECK(events[1].quantity == 2'000'000'000);
    CHECK(events[1].instrument == 1);

    CHECK(events[2].kind == event_kind::trade);
    CHECK(events[2].price == 125'000'000);
    CHECK(events[2].quantity == 300'000'000);
    CHECK(events[2].exchange_id == 77);
    CHECK(events[2].flags == 'R');
    CHECK(events[2].instrument == 2);

    CHECK(events[3].kind == event_kind::heartbeat);
    CHECK(events[3].instrument == 0);

    const auto stats = opened->stats();
    CHECK(stats.packets == 3);
    CHECK(stats.messages == 4);
    CHECK(stats.bids == 1);
    CHECK(stats.offers == 1);
    CHECK(stats.system_times == 1);
    CHECK(stats.sequence_gaps == 0);
    CHECK(stats.of(event_kind::heartbeat) == 1);
}

TEST_CASE("wide and double-sided quotes are decoded") {
    const bytes one = bytes(1, 'W') + wide('W', 1, 7, 12'345, 70'000).substr(1);
    const bytes levels_compact = little(std::uint16_t{100}) + little(std::uint16_t{2}) +
                                 little(std::uint16_t{0}) + "A" + little(std::uint16_t{110}) +
                                 little(std::uint16_t{3}) + little(std::uint16_t{0}) + "B";
    const bytes levels_wide = little(std::uint32_t{10'000}) + little(std::uint32_t{2}) +
                              little(std::uint32_t{0}) + "C" + little(std::uint32_t{11'000}) +
                              little(std::uint32_t{3}) + little(std::uint32_t{0}) + "D";
    const bytes head = little(std::uint32_t{1}) + little(std::uint32_t{7});
    const auto read = read_all(one_packet(
        miax_message(1, one) + miax_message(2, wide('A', 1, 7, 12'346, 1)) +
        miax_message(3, "d" + head + levels_compact) + miax_message(4, "D" + head + levels_wide)));
    REQUIRE_FALSE(read.error);
    REQUIRE(read.events.size() == 4);
    CHECK(read.events[0].side == event_side::bid);
    CHECK(read.events[0].price == 123'450'000);
    CHECK(read.events[0].quantity == 70'000 * price_scale);
    CHECK(read.events[1].side == event_side::offer);
    for (const std::size_t i : {2U, 3U}) {
        CHECK(read.events[i].side == event_side::none);
        CHECK(read.events[i].price == 100'000'000);
        CHECK(read.events[i].quantity == 2 * price_scale);
        CHECK(read.events[i].price2 == 110'000'000);
        CHECK(read.events[i].quantity2 == 3 * price_scale);
    }
    CHECK(read.events[2].flags == 'A');
    CHECK(read.events[3].flags == 'C');
}

TEST_CASE("both byte orders and both resolutions of pcap are read, with 0 to 2 VLAN tags") {
    const auto expected = read_all(small_pcap()).events;
    for (const bool big_endian : {false, true}) {
        for (const int tags : {0, 1, 2}) {
            const pcap_style style{.big_endian = big_endian, .vlan_tags = tags, .trailer = "pads"};
            CHECK(read_all(small_pcap(style)).events == expected);
            const pcap_style micro{
                .magic = 0xa1b2c3d4, .big_endian = big_endian, .vlan_tags = tags};
            const auto coarse = read_all(small_pcap(micro));
            REQUIRE(coarse.events.size() == expected.size());
            CHECK(coarse.events[0].receive_ns == base_second * second_ns + 100'000);
        }
    }
}

TEST_CASE("sequence gaps are counted with what they swallowed, and repeats are counted") {
    const auto read = read_all(one_packet(miax_message(10, a_bid) + miax_message(11, a_bid) +
                                          miax_message(15, a_bid) + miax_message(15, a_bid) +
                                          miax_heartbeat(18) + miax_message(19, a_bid)));
    REQUIRE_FALSE(read.error);
    CHECK(read.stats.sequence_gaps == 2);
    CHECK(read.stats.messages_missing == 6);
    CHECK(read.stats.sequence_repeats == 1);
    CHECK(read.events.size() == 6);
}

TEST_CASE("two channels are numbered apart") {
    const pcap_style other{.port = 51003};
    const auto file = pcap_header() +
                      pcap_record(base_second, 1, udp_frame(miax_message(1, a_bid))) +
                      pcap_record(base_second, 2, udp_frame(miax_message(500, a_bid), other)) +
                      pcap_record(base_second, 3, udp_frame(miax_message(2, a_bid))) +
                      pcap_record(base_second, 4, udp_frame(miax_message(501, a_bid), other));
    CHECK(read_all(file).stats.sequence_gaps == 0);
    const auto one = read_all(file, {.udp_port = 51003});
    CHECK(one.events.size() == 2);
    CHECK(one.stats.packets_skipped == 2);
}

TEST_CASE("before the exchange told its second the one nearest to the capture is taken") {
    const auto file = [](std::uint32_t captured_ns, std::uint32_t exchange_ns) {
        return read_all(pcap_header() +
                        pcap_record(base_second, captured_ns,
                                    udp_frame(miax_message(1, compact('B', exchange_ns, 1, 1, 1)))))
            .events.at(0)
            .exchange_ns;
    };
    CHECK(file(500'000'000, 400'000'000) == base_second * second_ns + 400'000'000);
    CHECK(file(10, 999'999'990) == (base_second - 1) * second_ns + 999'999'990);
    CHECK(file(999'999'990, 10) == (base_second + 1) * second_ns + 10);
}

TEST_CASE("messages of no use here are counted, session messages too, and neither is an event") {
    const auto read = read_all(one_packet(miax_packet(0, '\x01') + miax_message(1, "S0123456789") +
                                          miax_message(2, "P") + miax_message(3, a_bid) +
                                          miax_packet(3, '\x02')));
    REQUIRE_FALSE(read.error);
    CHECK(read.events.size() == 1);
    CHECK(read.stats.other_messages == 2);
    CHECK(read.stats.session_messages == 2);
    CHECK(read.stats.messages == 3);
}

TEST_CASE("frames of other protocols are skipped and counted") {
    auto arp = udp_frame(miax_message(1, a_bid), {.vlan_tags = 0});
    arp[13] = '\x06';
    bytes tcp = udp_frame(miax_message(1, a_bid), {.vlan_tags = 0});
    tcp[14 + 9] = '\x06';
    const auto read = read_all(pcap_header() + pcap_record(base_second, 1, arp) +
                                   pcap_record(base_second, 2, tcp) +
                                   pcap_record(base_second, 3, udp_frame(miax_message(2, a_bid))),
                               {.verify_checksums = false});
    REQUIRE_FALSE(read.error);
    CHECK(read.stats.packets_skipped == 2);
    CHECK(read.stats.packets == 1);
}

TEST_CASE("a wrong checksum is an error unless the checks are turned off") {
    for (const auto& style :
         {pcap_style{.wrong_ip_checksum = true}, pcap_style{.wrong_udp_checksum = true}}) {
        const auto read = read_all(small_pcap(style));
        REQUIRE(read.failed_with(feed_fault::corrupt));
        CHECK(read.error->remedy().find("verify_checksums") != std::string::npos);
        CHECK_FALSE(read_all(small_pcap(style), {.verify_checksums = false}).error);
    }
}

TEST_CASE("impossible messages are refused at their place in the file") {
    const auto corrupt = [](const bytes& payload) {
        const auto read = read_all(one_packet(payload));
        return read.failed_with(feed_fault::corrupt) &&
               read.error->place().offset == 24 + 16 + 18 + 20 + 8;
    };
    CHECK(corrupt(bytes(5, 'x')));  // shorter than a header
    CHECK(corrupt(little(std::uint64_t{1}) + little(std::uint16_t{11}) + "\x03\x01"));
    CHECK(corrupt(little(std::uint64_t{1}) + little(std::uint16_t{13}) + "\x03\x01"));
    CHECK(corrupt(miax_packet(1, '\x04')));                                 // packet type
    CHECK(corrupt(miax_message(1, "")));                                    // no message type
    CHECK(corrupt(miax_message(1, "Z")));                                   // unknown one
    CHECK(corrupt(miax_message(1, a_bid + "x")));                           // too long
    CHECK(corrupt(miax_message(1, a_bid.substr(0, 15))));                   // too short
    CHECK(corrupt(miax_message(1, compact('B', 1'000'000'000, 1, 1, 1))));  // nanoseconds
    CHECK(read_all(one_message(system_time(base_second + 90'000)))
              .failed_with(feed_fault::bad_value));
}

TEST_CASE("impossible frames and records are refused") {
    const auto with = [](std::size_t at, const bytes& replacement) {
        auto file = one_message(a_bid);
        file.replace(at, replacement.size(), replacement);
        return read_all(file, {.verify_checksums = false});
    };
    constexpr std::size_t record = 24, frame = 40, ip = 58, udp = 78;
    CHECK(with(4, "\x03").failed_with(feed_fault::unsupported));   // version
    CHECK(with(20, "\x71").failed_with(feed_fault::unsupported));  // link type
    CHECK(with(record + 4, little(std::uint32_t{1'000'000'000})).failed_with(feed_fault::corrupt));
    CHECK(with(record + 8, little(std::uint32_t{300'000})).failed_with(feed_fault::corrupt));
    CHECK(with(record + 12, little(std::uint32_t{60'000})).failed_with(feed_fault::unsupported));
    CHECK(with(frame + 12, bytes("\x86\xdd", 2)).failed_with(feed_fault::empty));  // IPv6: skipped
    CHECK(with(ip, "\x65").failed_with(feed_fault::corrupt));
    CHECK(with(ip, "\x44").failed_with(feed_fault::corrupt));
    CHECK(with(ip + 2, "\xff").failed_with(feed_fault::corrupt));
    CHECK(with(ip + 6, "\x20").failed_with(feed_fault::unsupported));  // a fragment
    CHECK(with(udp + 4, "\xff").failed_with(feed_fault::corrupt));
    CHECK(with(udp + 4, bytes("\0\x07", 2)).failed_with(feed_fault::corrupt));
    CHECK(read_all(pcap_header() + pcap_record(base_second, 0, "short"))
              .failed_with(feed_fault::corrupt));
}

TEST_CASE("a capture without an event is refused") {
    CHECK(read_all(pcap_header()).failed_with(feed_fault::empty));
    CHECK(read_all(one_message(a_bid), {.udp_port = 1}).failed_with(feed_fault::empty));
}

TEST_CASE("more products than the bound, and more channels than 64, are errors") {
    CHECK(read_all(small_pcap(), {.max_instruments = 1})
              .failed_with(feed_fault::too_many_instruments));
    bytes file = pcap_header();
    for (std::uint16_t i = 0; i < 65; ++i) {
        file += pcap_record(
            base_second, i,
            udp_frame(miax_message(1, a_bid), {.port = static_cast<std::uint16_t>(1000 + i)}));
    }
    const auto read = read_all(file);
    CHECK(read.events.size() == 64);
    CHECK(read.failed_with(feed_fault::unsupported));
}
