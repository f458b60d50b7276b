// SPDX-License-Identifier: Apache-2.0
//
// Small inputs for the feed tests, made byte by byte from the layouts: MIAX messages in UDP in a
// pcap, Binance rows, gzip. Nothing here is taken from a recording.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ropeway/runtime/feed_files.hpp>

namespace ropeway_test {

/// Bytes as a string, so that literals and concatenation read well.
using bytes = std::string;

inline std::span<const std::byte> view(const bytes& data) {
    return std::as_bytes(std::span(data.data(), data.size()));
}
/// The feed borrows `data`, which must outlive it.
inline std::unique_ptr<ropeway::feed> feed_of(const bytes& data, ropeway::feed_params params = {}) {
    return ropeway::open_feed(ropeway::borrow_bytes(view(data), "memory"), std::move(params));
}
std::unique_ptr<ropeway::feed> feed_of(bytes&&, ropeway::feed_params = {}) = delete;

template <class Integer>
bytes little(Integer value) {
    bytes out;
    for (std::size_t i = 0; i < sizeof(Integer); ++i) {
        out += static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xffU);
    }
    return out;
}
template <class Integer>
bytes big(Integer value) {
    const bytes reversed = little(value);
    return {reversed.rbegin(), reversed.rend()};
}

inline std::uint16_t internet_checksum(const bytes& data) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < data.size(); ++i) {
        const auto byte = static_cast<unsigned char>(data[i]);
        sum += i % 2 == 0 ? std::uint32_t{byte} << 8U : byte;
    }
    while (sum > 0xffff) {
        sum = (sum & 0xffffU) + (sum >> 16U);
    }
    return static_cast<std::uint16_t>(~sum);
}

// MIAX messages ------------------------------------------------------------------------------

inline bytes miax_packet(std::uint64_t sequence, char type, const bytes& body = {}) {
    return little(sequence) + little(static_cast<std::uint16_t>(12 + body.size())) +
           bytes(1, type) + bytes(1, '\x01') + body;
}
inline bytes miax_message(std::uint64_t sequence, const bytes& body) {
    return miax_packet(sequence, '\x03', body);
}
inline bytes miax_heartbeat(std::uint64_t latest) { return miax_packet(latest, '\0'); }
inline bytes system_time(std::uint32_t second) { return "1" + little(second); }
inline bytes compact(char side, std::uint32_t ns, std::uint32_t product, std::uint16_t price,
                     std::uint16_t size) {
    return bytes(1, side) + little(ns) + little(product) + little(price) + little(size) +
           little(std::uint16_t{7}) + "A";
}
inline bytes wide(char side, std::uint32_t ns, std::uint32_t product, std::uint32_t price,
                  std::uint32_t size) {
    return bytes(1, side) + little(ns) + little(product) + little(price) + little(size) +
           little(std::uint32_t{7}) + "B";
}
inline bytes miax_trade(std::uint32_t ns, std::uint32_t product, std::uint32_t id,
                        std::uint32_t price, std::uint32_t size) {
    return "T" + little(ns) + little(product) + little(id) + bytes(1, '\0') +
           little(std::uint32_t{0}) + bytes(1, '\0') + little(price) + little(size) + "R";
}

// pcap ---------------------------------------------------------------------------------------

struct pcap_style {
    std::uint32_t magic = 0xa1b23c4d;
    bool big_endian = false;
    int vlan_tags = 1;
    bool wrong_ip_checksum = false;
    bool wrong_udp_checksum = false;
    std::uint16_t port = 51002;
    std::string trailer{};  ///< behind the IPv4 packet: padding, frame check sequence
};

template <class Integer>
bytes file_order(const pcap_style& style, Integer value) {
    return style.big_endian ? big(value) : little(value);
}

inline bytes pcap_header(const pcap_style& style = {}, std::uint32_t link = 1) {
    return file_order(style, style.magic) + file_order(style, std::uint16_t{2}) +
           file_order(style, std::uint16_t{4}) + bytes(8, '\0') +
           file_order(style, std::uint32_t{65535}) + file_order(style, link);
}

inline bytes udp_frame(const bytes& payload, const pcap_style& style = {}) {
    const auto udp_length = static_cast<std::uint16_t>(8 + payload.size());
    const bytes addresses = big(std::uint32_t{0xc0a80001}) + big(std::uint32_t{0xe0000001});
    bytes udp = big(std::uint16_t{40000}) + big(style.port) + big(udp_length) +
                big(std::uint16_t{0}) + payload;
    auto udp_sum = internet_checksum(addresses + bytes("\0\x11", 2) + big(udp_length) + udp);
    if (style.wrong_udp_checksum) {
        udp_sum = static_cast<std::uint16_t>(udp_sum ^ 0x0100U);
    }
    udp.replace(6, 2, big(udp_sum));
    bytes ip = bytes("\x45\x00", 2) + big(static_cast<std::uint16_t>(20 + udp.size())) +
               bytes(4, '\0') + bytes("\x10\x11", 2) + big(std::uint16_t{0}) + addresses;
    auto ip_sum = internet_checksum(ip);
    if (style.wrong_ip_checksum) {
        ip_sum = static_cast<std::uint16_t>(ip_sum ^ 0x0100U);
    }
    ip.replace(10, 2, big(ip_sum));
    bytes frame(12, '\x02');
    for (int i = 0; i < style.vlan_tags; ++i) {
        frame += bytes("\x81\x00\x00\x05", 4);
    }
    return frame + bytes("\x08\x00", 2) + ip + udp + style.trailer;
}

inline bytes pcap_record(std::uint32_t second, std::uint32_t fraction, const bytes& frame,
                         const pcap_style& style = {}) {
    const auto length = static_cast<std::uint32_t>(frame.size());
    return file_order(style, second) + file_order(style, fraction) + file_order(style, length) +
           file_order(style, length) + frame;
}

inline constexpr std::uint32_t base_second = 1'500'000'000;

/// Three packets: the second, both sides of a quote, a trade and a heartbeat.
inline bytes small_pcap(const pcap_style& style = {}) {
    const auto record = [&](std::uint32_t fraction, const bytes& payload) {
        return pcap_record(base_second, fraction, udp_frame(payload, style), style);
    };
    return pcap_header(style) +
           record(100, miax_message(10, system_time(base_second + 1)) +
                           miax_message(11, compact('B', 5, 900, 1234, 10))) +
           record(200, miax_message(12, compact('O', 6, 900, 1240, 20)) +
                           miax_message(13, miax_trade(7, 901, 77, 12'500, 3))) +
           record(300, miax_heartbeat(13));
}

// Binance CSV --------------------------------------------------------------------------------

inline const bytes events_header =
    "recv_ns,exch_ms,kind,symbol,id,price1,qty1,price2,qty2,levels\n";
inline const bytes trades_header = "recv_ns,exch_ms,trade_id,price,qty,is_buyer_maker\n";

inline bytes small_csv() {
    return events_header +
           "1700000000000000100,1700000001000,depthUpdate,AAAUSDT,41,,,,,70000\n"
           "1700000000000000200,1700000001001,bookTicker,AAAUSDT,42,100.10,0.007,100.20,12,2\n"
           "1700000000000000300,1700000001002,trade,BBBUSDT,43,0.00000001,3.5,,,1\n";
}

// gzip ---------------------------------------------------------------------------------------

inline bytes gzip(const bytes& plain) {
    z_stream stream{};
    if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        throw std::runtime_error("deflateInit2");
    }
    bytes packed(plain.size() + 1024, '\0');
    bytes input = plain;
    stream.next_in = reinterpret_cast<Bytef*>(input.data());
    stream.avail_in = static_cast<uInt>(input.size());
    stream.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_out = static_cast<uInt>(packed.size());
    const int result = deflate(&stream, Z_FINISH);
    packed.resize(packed.size() - stream.avail_out);
    deflateEnd(&stream);
    if (result != Z_STREAM_END) {
        throw std::runtime_error("deflate");
    }
    return packed;
}

// reading ------------------------------------------------------------------------------------

struct outcome {
    std::vector<ropeway::market_event> events{};
    std::optional<ropeway::feed_error> error{};
    ropeway::feed_stats stats{};

    [[nodiscard]] bool failed_with(ropeway::feed_fault fault) const {
        return error && error->fault() == fault;
    }
};

/// Reads to the end or to the error.
inline outcome read_all(const bytes& data, ropeway::feed_params params = {}) {
    outcome result;
    std::unique_ptr<ropeway::feed> opened;
    try {
        opened = feed_of(data, std::move(params));
        ropeway::market_event event;
        while (opened->next(event)) {
            result.events.push_back(event);
        }
    } catch (const ropeway::feed_error& error) {
        result.error = error;
    }
    if (opened) {
        result.stats = opened->stats();
    }
    return result;
}

/// A folder that is gone with the object.
class temporary_folder {
  public:
    temporary_folder() {
        std::string pattern =
            (std::filesystem::temp_directory_path() / "ropeway-feed-XXXXXX").string();
        if (mkdtemp(pattern.data()) == nullptr) {
            throw std::runtime_error("mkdtemp");
        }
        path_ = pattern;
    }
    temporary_folder(const temporary_folder&) = delete;
    temporary_folder& operator=(const temporary_folder&) = delete;
    ~temporary_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::filesystem::path write(std::string_view name, const bytes& data) const {
        const auto path = path_ / name;
        std::ofstream(path, std::ios::binary) << data;
        return path;
    }
    [[nodiscard]] const std::filesystem::path& path() const { return path_; }

  private:
    std::filesystem::path path_;
};

}  // namespace ropeway_test
