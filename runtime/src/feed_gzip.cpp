// SPDX-License-Identifier: Apache-2.0
//
// gzip on the way: the only file that knows zlib. One inflate state and one block of output.
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#include <ropeway/runtime/feed_error.hpp>
#include <ropeway/runtime/feed_source.hpp>

namespace ropeway {
namespace {

constexpr std::size_t block_bytes = std::size_t{64} * 1024;
constexpr std::size_t largest_step = std::size_t{1} << 30;  // zlib counts input in unsigned int
constexpr int gzip_only = 15 + 16;                          // largest window, gzip header required

class gzip_bytes final : public byte_source {
  public:
    explicit gzip_bytes(std::unique_ptr<byte_source> packed)
        : packed_(std::move(packed)), block_(block_bytes) {
        if (inflateInit2(&stream_, gzip_only) != Z_OK) {
            throw std::bad_alloc();
        }
    }
    gzip_bytes(const gzip_bytes&) = delete;
    gzip_bytes& operator=(const gzip_bytes&) = delete;
    ~gzip_bytes() override { inflateEnd(&stream_); }

    std::span<const std::byte> next_block() override {
        for (;;) {
            if (input_.empty() && !refill()) {
                return {};
            }
            if (!in_member_) {
                start_member();
            }
            if (const auto produced = inflate_some(); produced > 0) {
                return std::span(block_).first(produced);
            }
        }
    }

    const std::string& name() const noexcept override { return packed_->name(); }

  private:
    /// False at an end that lies between two members.
    bool refill() {
        input_ = packed_->next_block();
        if (!input_.empty()) {
            return true;
        }
        if (!in_member_ && members_ > 0) {
            return false;
        }
        throw feed_error(
            members_ == 0 && consumed_ == 0 ? feed_fault::empty : feed_fault::truncated, place(),
            "the gzip stream ends before its checksum", "", "the file was cut: fetch it again");
    }

    void start_member() {
        inflateReset(&stream_);
        in_member_ = true;
    }

    std::size_t inflate_some() {
        const auto step = std::min(input_.size(), largest_step);
        // zlib reads through a pointer to non-const and changes nothing there
        stream_.next_in =
            const_cast<Bytef*>(reinterpret_cast<const Bytef*>(input_.data()));  // NOLINT
        stream_.avail_in = static_cast<uInt>(step);
        stream_.next_out = reinterpret_cast<Bytef*>(block_.data());  // NOLINT
        stream_.avail_out = static_cast<uInt>(block_.size());
        const int result = inflate(&stream_, Z_NO_FLUSH);
        const std::size_t used = step - stream_.avail_in;
        input_ = input_.subspan(used);
        consumed_ += used;
        if (result == Z_STREAM_END) {
            in_member_ = false;
            ++members_;
        } else if (result != Z_OK && result != Z_BUF_ERROR) {
            if (result == Z_MEM_ERROR) {
                throw std::bad_alloc();
            }
            throw feed_error(feed_fault::corrupt, place(), "the gzip stream is damaged",
                             stream_.msg == nullptr ? "no gzip data" : stream_.msg,
                             "fetch the file again");
        }
        return block_.size() - stream_.avail_out;
    }

    [[nodiscard]] feed_place place() const { return {packed_->name() + " (packed)", consumed_, 0}; }

    std::unique_ptr<byte_source> packed_;
    std::vector<std::byte> block_;
    z_stream stream_{};
    std::span<const std::byte> input_;
    std::uint64_t consumed_ = 0;
    std::uint64_t members_ = 0;
    bool in_member_ = false;
};

}  // namespace

std::unique_ptr<byte_source> unpack_gzip(std::unique_ptr<byte_source> packed) {
    return std::make_unique<gzip_bytes>(std::move(packed));
}

}  // namespace ropeway
