// SPDX-License-Identifier: Apache-2.0
//
// Private: UDP payloads out of a pcap capture. Owned by one feed; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <ropeway/runtime/feed.hpp>
#include <ropeway/runtime/feed_files.hpp>

#include "feed_reader.hpp"

namespace ropeway {

/// True for the magic of a pcap file, or for the beginning of one in a file too short for it.
[[nodiscard]] bool is_pcap_start(std::span<const std::byte> start) noexcept;
[[nodiscard]] bool is_pcapng_start(std::span<const std::byte> start) noexcept;

/// One UDP datagram. The payload is a view, valid until the next datagram is read.
struct datagram {
    std::int64_t receive_ns = 0;
    std::uint32_t destination = 0;
    std::uint16_t port = 0;
    std::span<const std::byte> payload;
    std::uint64_t payload_offset = 0;  ///< in the file
};

class pcap_reader {
  public:
    /// Reads the file header; feed_error if it is none of the supported ones.
    pcap_reader(std::unique_ptr<feed_reader> reader, const feed_params& params);

    /// The next datagram that is wanted; false at the clean end.
    [[nodiscard]] bool next(datagram& out, feed_stats& stats);
    [[nodiscard]] const std::string& name() const noexcept { return reader_->name(); }

  private:
    struct view {  ///< bytes of the file and where they stand in it
        std::span<const std::byte> bytes;
        std::uint64_t offset = 0;
    };
    [[nodiscard]] bool next_frame(view& frame, std::int64_t& stamp_ns);
    [[nodiscard]] bool unwrap_ethernet(view& frame) const;
    [[nodiscard]] bool unwrap_ip(view& frame, datagram& out);
    [[nodiscard]] bool unwrap_udp(const view& segment, datagram& out) const;
    [[nodiscard]] std::uint32_t file_u32(std::span<const std::byte> bytes,
                                         std::size_t at) const noexcept;
    [[noreturn]] void fail(feed_fault fault, std::uint64_t offset, std::string_view problem,
                           std::string_view value, std::string_view remedy) const;

    std::unique_ptr<feed_reader> reader_;
    bool verify_checksums_;
    std::uint16_t wanted_port_;
    bool swapped_ = false;               ///< written on a machine of the other byte order
    std::uint32_t ns_per_fraction_ = 1;  ///< 1000 in a microsecond file
    std::uint32_t address_sum_ = 0;      ///< of the latest IPv4 header, for the UDP checksum
};

}  // namespace ropeway
