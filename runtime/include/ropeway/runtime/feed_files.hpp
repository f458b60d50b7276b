// SPDX-License-Identifier: Apache-2.0
//
// Feeds that replay market data files: the Binance events CSV (plain or .gz) and the MIAX options
// Top of Market capture (pcap). The caller owns the feed; one thread drives it. What a cut file
// looks like, and which cut nobody can see, stands at open_feed().
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <ropeway/runtime/feed.hpp>
#include <ropeway/runtime/feed_source.hpp>

namespace ropeway {

/// Bounds and choices of the file feeds.
struct feed_params {
    /// Instruments in one file; more is an error. Default: an options exchange has some thousands.
    /// 1 and above.
    std::size_t max_instruments = 65536;
    /// The largest step of the receive clock, forth, between two events. A broken stamp would else
    /// hold a paced replay for years. Default: no recorded session is silent for an hour.
    std::chrono::nanoseconds max_receive_gap = std::chrono::hours{1};
    /// Steps back of the receive clock up to this are raised to the stamp before and counted;
    /// larger ones are an error. Default: more than any reordering by a capture card.
    std::chrono::nanoseconds max_receive_step_back = std::chrono::seconds{1};
    /// Verify the checksums of IPv4 and UDP headers in a pcap. Default: yes, it finds damaged
    /// files. Turn off for captures taken on the sending host, where the card fills them in later.
    bool verify_checksums = true;
    /// UDP destination port of the MIAX feed in a pcap that carries others too; 0 = all are MIAX.
    std::uint16_t udp_port = 0;
    /// The instrument of a trades.csv, which does not name it.
    std::string symbol = "unnamed";
};

/// Binance events: rows of book tickers (kind quote, both sides), trades and depth updates (kind
/// book_update; the number of changed levels in `flags`, at most 65535). Also the trades-only
/// layout (`flags` = 1 when the buyer was the maker). The header line says which. Lines end in
/// "\n" or "\r\n". Prices and quantities are parsed exactly, to 10^-8, without floating point.
/// @throws feed_error when the first line is neither header, or nothing follows it.
[[nodiscard]] std::unique_ptr<feed> make_binance_csv_feed(std::unique_ptr<byte_source> bytes,
                                                          feed_params params = {});

/// MIAX options Top of Market v1.9 in a pcap of either byte order, nanosecond or microsecond;
/// Ethernet with up to two VLAN tags, IPv4, UDP. One-sided quotes have `side` and use price and
/// quantity for either side; `flags` is the condition character; exchange_id is the feed's sequence
/// number, for trades the trade id. Products become dense ids by first appearance, named by their
/// decimal product id. Heartbeat packets are events, system times are not: they set the second.
/// @throws feed_error when the file header is not one of these.
[[nodiscard]] std::unique_ptr<feed> make_miax_pcap_feed(std::unique_ptr<byte_source> bytes,
                                                        feed_params params = {});

/// The feed for a file, chosen by its first bytes, never by its name; .gz of either works.
///
/// A cut is an error wherever it can be seen: at every byte of a .gz, and inside every header, row
/// (a last row without its newline is a cut one, even if it looks complete) and record. It cannot
/// be seen exactly behind a newline of a plain CSV or between two records of a plain pcap, where
/// the rest is a whole, shorter file: keep such files packed where that matters.
/// @throws feed_error; unknown_format when the first bytes are of no known kind.
[[nodiscard]] std::unique_ptr<feed> open_feed(const std::filesystem::path& path,
                                              feed_params params = {});
/// The same for bytes from anywhere.
[[nodiscard]] std::unique_ptr<feed> open_feed(std::unique_ptr<byte_source> bytes,
                                              feed_params params = {});

}  // namespace ropeway
