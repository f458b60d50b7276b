// SPDX-License-Identifier: Apache-2.0
//
// pcap, Ethernet, VLAN tags, IPv4, UDP: every length is checked against the bytes that are there
// before it is used.
#include "feed_pcap.hpp"

#include <algorithm>
#include <utility>

#include "feed_bytes.hpp"

namespace ropeway {
namespace {

constexpr std::size_t file_header_bytes = 24;
constexpr std::size_t record_header_bytes = 16;
constexpr std::uint32_t largest_record = 262'144;  // the largest snapshot length that tools write
constexpr std::uint32_t magic_ns = 0xa1b23c4d;
constexpr std::uint32_t magic_us = 0xa1b2c3d4;
constexpr std::uint32_t ethernet = 1;
constexpr std::size_t ethernet_bytes = 14;
constexpr std::size_t vlan_tag_bytes = 4;
constexpr int most_vlan_tags = 2;
constexpr std::uint16_t type_ipv4 = 0x0800, type_vlan = 0x8100, type_service_vlan = 0x88a8;
constexpr std::size_t smallest_ip_header = 20;
constexpr std::uint8_t protocol_udp = 17;
constexpr std::size_t udp_header_bytes = 8;
constexpr const char* fetch_again = "fetch the file again";

std::string text_of(std::uint64_t value) { return std::to_string(value); }

}  // namespace

bool is_pcap_start(std::span<const std::byte> start) noexcept {
    constexpr std::size_t magic_bytes = 4;
    if (start.empty()) {
        return false;
    }
    for (const std::uint32_t magic : {magic_ns, magic_us}) {
        bool little = true;
        bool big = true;
        for (std::size_t i = 0; i < std::min(start.size(), magic_bytes); ++i) {
            little = little && start[i] == static_cast<std::byte>(magic >> (8 * i) & 0xffU);
            big = big && start[i] == static_cast<std::byte>(magic >> (8 * (3 - i)) & 0xffU);
        }
        if (little || big) {
            return true;
        }
    }
    return false;
}

bool is_pcapng_start(std::span<const std::byte> start) noexcept {
    return start.size() >= 4 && little_endian<std::uint32_t>(start, 0) == 0x0a0d0d0a;
}

pcap_reader::pcap_reader(std::unique_ptr<feed_reader> reader, const feed_params& params)
    : reader_(std::move(reader)),
      verify_checksums_(params.verify_checksums),
      wanted_port_(params.udp_port) {
    const auto header = reader_->take(file_header_bytes);
    if (header.empty()) {
        fail(feed_fault::empty, 0, "the file is empty", "", fetch_again);
    }
    if (header.size() < file_header_bytes) {
        fail(feed_fault::truncated, 0, "the file ends inside the pcap header",
             text_of(header.size()) + " bytes", fetch_again);
    }
    const auto magic = little_endian<std::uint32_t>(header, 0);
    const auto magic_swapped = big_endian<std::uint32_t>(header, 0);
    swapped_ = magic_swapped == magic_ns || magic_swapped == magic_us;
    if (!swapped_ && magic != magic_ns && magic != magic_us) {
        fail(feed_fault::unknown_format, 0, "no pcap magic", text_of(magic),
             "expected a nanosecond or microsecond pcap");
    }
    ns_per_fraction_ = (swapped_ ? magic_swapped : magic) == magic_us ? 1000 : 1;
    const auto major =
        swapped_ ? big_endian<std::uint16_t>(header, 4) : little_endian<std::uint16_t>(header, 4);
    if (major != 2) {
        fail(feed_fault::unsupported, 4, "a pcap version that is not 2.x", text_of(major),
             "convert it: editcap -F nsecpcap IN OUT");
    }
    // the upper bits say whether frames end in a checksum, which the lengths inside tell as well
    if (const auto link = file_u32(header, 20) & 0xffffU; link != ethernet) {
        fail(feed_fault::unsupported, 20, "a link type that is not Ethernet", text_of(link),
             "capture on an Ethernet interface");
    }
}

bool pcap_reader::next(datagram& out, feed_stats& stats) {
    view bytes;
    while (next_frame(bytes, out.receive_ns)) {
        if (unwrap_ethernet(bytes) && unwrap_ip(bytes, out) && unwrap_udp(bytes, out)) {
            ++stats.packets;
            return true;
        }
        ++stats.packets_skipped;
    }
    return false;
}

bool pcap_reader::next_frame(view& frame, std::int64_t& stamp_ns) {
    constexpr std::int64_t ns_per_second = 1'000'000'000;
    const auto at = reader_->offset();
    const auto header = reader_->take(record_header_bytes);
    if (header.empty()) {
        return false;
    }
    if (header.size() < record_header_bytes) {
        fail(feed_fault::truncated, at, "the file ends inside a record header",
             text_of(header.size()) + " of 16 bytes", fetch_again);
    }
    const auto second = file_u32(header, 0);
    const auto fraction = file_u32(header, 4);
    const auto captured = file_u32(header, 8);
    const auto original = file_u32(header, 12);
    if (std::int64_t{fraction} * ns_per_fraction_ >= ns_per_second) {
        fail(feed_fault::corrupt, at + 4, "a fraction of a second above one second",
             text_of(fraction), fetch_again);
    }
    if (captured > largest_record || captured > original) {
        fail(feed_fault::corrupt, at + 8, "an impossible record length", text_of(captured),
             fetch_again);
    }
    if (captured < original) {
        fail(feed_fault::unsupported, at + 8, "the capture kept only a part of a packet",
             text_of(captured) + " of " + text_of(original) + " bytes",
             "capture with a snapshot length of 0");
    }
    frame = {{}, reader_->offset()};
    frame.bytes = reader_->take(captured);
    if (frame.bytes.size() < captured) {
        fail(feed_fault::truncated, at, "the file ends inside a packet",
             text_of(frame.bytes.size()) + " of " + text_of(captured) + " bytes", fetch_again);
    }
    stamp_ns = std::int64_t{second} * ns_per_second + std::int64_t{fraction} * ns_per_fraction_;
    return true;
}

/// Leaves what follows the Ethernet header and its tags; false if that is no IPv4.
bool pcap_reader::unwrap_ethernet(view& frame) const {
    std::size_t header = ethernet_bytes;
    for (int tags = 0; frame.bytes.size() >= header; ++tags) {
        const auto type = big_endian<std::uint16_t>(frame.bytes, header - 2);
        if (type == type_ipv4) {
            frame = {frame.bytes.subspan(header), frame.offset + header};
            return true;
        }
        if ((type != type_vlan && type != type_service_vlan) || tags == most_vlan_tags) {
            return false;
        }
        header += vlan_tag_bytes;
    }
    fail(feed_fault::corrupt, frame.offset, "a frame shorter than its Ethernet header",
         text_of(frame.bytes.size()) + " bytes", fetch_again);
}

/// Leaves the payload of the IPv4 packet; false if that is no UDP.
bool pcap_reader::unwrap_ip(view& frame, datagram& out) {
    const auto bytes = frame.bytes;
    const std::size_t header =
        bytes.empty() ? 0 : std::to_integer<std::size_t>(bytes[0] & std::byte{0xf}) * 4;
    if (header < smallest_ip_header || bytes.size() < header ||
        std::to_integer<unsigned>(bytes[0]) >> 4U != 4U) {
        fail(feed_fault::corrupt, frame.offset, "no whole IPv4 header",
             text_of(bytes.size()) + " bytes", fetch_again);
    }
    const std::size_t length = big_endian<std::uint16_t>(bytes, 2);
    if (length < header || length > bytes.size()) {
        fail(feed_fault::corrupt, frame.offset + 2, "an IPv4 length beyond the frame",
             text_of(length), fetch_again);
    }
    if (verify_checksums_ && !adds_up(word_sum(bytes.first(header)))) {
        fail(feed_fault::corrupt, frame.offset, "an IPv4 header with a wrong checksum",
             text_of(big_endian<std::uint16_t>(bytes, 10)),
             "fetch the file again, or turn verify_checksums off for a sender's own capture");
    }
    if (bytes[9] != std::byte{protocol_udp}) {
        return false;
    }
    constexpr unsigned more_fragments_and_offset = 0x3fff;
    if ((big_endian<std::uint16_t>(bytes, 6) & more_fragments_and_offset) != 0) {
        fail(feed_fault::unsupported, frame.offset + 6, "a fragmented UDP packet", "",
             "capture behind the host's reassembly");
    }
    out.destination = big_endian<std::uint32_t>(bytes, 16);
    address_sum_ = word_sum(bytes.subspan(12, 8));
    frame = {bytes.subspan(header, length - header), frame.offset + header};
    return true;
}

/// Leaves the datagram in `out`; false if its port is not the wanted one.
bool pcap_reader::unwrap_udp(const view& segment, datagram& out) const {
    const auto bytes = segment.bytes;
    const std::size_t length =
        bytes.size() < udp_header_bytes ? 0 : big_endian<std::uint16_t>(bytes, 4);
    if (length < udp_header_bytes || length > bytes.size()) {
        fail(feed_fault::corrupt, segment.offset, "a UDP length beyond its packet", text_of(length),
             fetch_again);
    }
    // 0 = the sender computed none
    if (const auto checksum = big_endian<std::uint16_t>(bytes, 6);
        verify_checksums_ && checksum != 0 &&
        !adds_up(address_sum_ + protocol_udp + static_cast<std::uint32_t>(length) +
                 word_sum(bytes.first(length)))) {
        fail(feed_fault::corrupt, segment.offset + 6, "a UDP packet with a wrong checksum",
             text_of(checksum),
             "fetch the file again, or turn verify_checksums off for a sender's own capture");
    }
    out.port = big_endian<std::uint16_t>(bytes, 2);
    if (wanted_port_ != 0 && out.port != wanted_port_) {
        return false;
    }
    out.payload = bytes.subspan(udp_header_bytes, length - udp_header_bytes);
    out.payload_offset = segment.offset + udp_header_bytes;
    return true;
}

std::uint32_t pcap_reader::file_u32(std::span<const std::byte> bytes,
                                    std::size_t at) const noexcept {
    return swapped_ ? big_endian<std::uint32_t>(bytes, at)
                    : little_endian<std::uint32_t>(bytes, at);
}

void pcap_reader::fail(feed_fault fault, std::uint64_t offset, std::string_view problem,
                       std::string_view value, std::string_view remedy) const {
    throw feed_error(fault, {reader_->name(), offset, 0}, problem, value, remedy);
}

}  // namespace ropeway
