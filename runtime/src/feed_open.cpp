// SPDX-License-Identifier: Apache-2.0
//
// Which feed a file needs, by its first bytes.
#include "feed_open.hpp"

#include <cstdint>
#include <string_view>
#include <utility>

#include "feed_pcap.hpp"

namespace ropeway {
namespace {

constexpr std::string_view csv_start = "recv_ns,";  // both layouts begin so

/// What a reader that has only been peeked at still holds, as a source again.
class reader_bytes final : public byte_source {
  public:
    explicit reader_bytes(std::unique_ptr<feed_reader> reader) : reader_(std::move(reader)) {}
    std::span<const std::byte> next_block() override { return reader_->take_block(); }
    const std::string& name() const noexcept override { return reader_->name(); }

  private:
    std::unique_ptr<feed_reader> reader_;
};

/// A reader of the source, unpacked if its first bytes say gzip.
std::unique_ptr<feed_reader> unpacked(std::unique_ptr<byte_source> source) {
    auto reader = std::make_unique<feed_reader>(std::move(source));
    const auto start = reader->peek(2);
    if (start.size() < 2 || start[0] != std::byte{0x1f} || start[1] != std::byte{0x8b}) {
        return reader;
    }
    return std::make_unique<feed_reader>(
        unpack_gzip(std::make_unique<reader_bytes>(std::move(reader))));
}

}  // namespace

std::unique_ptr<feed> open_feed(std::unique_ptr<byte_source> bytes, feed_params params) {
    auto reader = unpacked(std::move(bytes));
    const auto start = reader->peek(csv_start.size());
    if (start.empty()) {
        throw feed_error(feed_fault::empty, {reader->name()}, "the file is empty", "",
                         "fetch it again");
    }
    const std::string_view text(reinterpret_cast<const char*>(start.data()),  // NOLINT
                                start.size());
    if (csv_start.starts_with(text)) {
        return make_csv_feed(std::move(reader), std::move(params));
    }
    if (is_pcap_start(start)) {
        return make_pcap_feed(std::move(reader), std::move(params));
    }
    if (is_pcapng_start(start)) {
        throw feed_error(feed_fault::unsupported, {reader->name()}, "a pcapng file", "",
                         "convert it: editcap -F nsecpcap IN OUT");
    }
    throw feed_error(feed_fault::unknown_format, {reader->name()},
                     "no known market data format; it begins with", text,
                     "known are: Binance events CSV, its trades CSV, MIAX ToM pcap, and each of "
                     "these in gzip");
}

std::unique_ptr<feed> open_feed(const std::filesystem::path& path, feed_params params) {
    return open_feed(open_file_bytes(path), std::move(params));
}

std::unique_ptr<feed> make_binance_csv_feed(std::unique_ptr<byte_source> bytes,
                                            feed_params params) {
    return make_csv_feed(unpacked(std::move(bytes)), std::move(params));
}

std::unique_ptr<feed> make_miax_pcap_feed(std::unique_ptr<byte_source> bytes, feed_params params) {
    return make_pcap_feed(unpacked(std::move(bytes)), std::move(params));
}

}  // namespace ropeway
