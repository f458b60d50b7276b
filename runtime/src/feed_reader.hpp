// SPDX-License-Identifier: Apache-2.0
//
// Private: records and lines out of the blocks of a byte_source. Hands out views, and joins blocks
// only where a record lies across two. Owned by one feed; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway/runtime/feed_error.hpp>
#include <ropeway/runtime/feed_source.hpp>

namespace ropeway {

class feed_reader {
  public:
    explicit feed_reader(std::unique_ptr<byte_source> source);

    /// The next `count` bytes, fewer only at the end. Not consumed. Valid until the next call.
    [[nodiscard]] std::span<const std::byte> peek(std::size_t count);
    /// The same, consumed.
    [[nodiscard]] std::span<const std::byte> take(std::size_t count);

    /// All that is at hand, consumed; at least one byte unless the input has ended.
    [[nodiscard]] std::span<const std::byte> take_block();

    struct line {
        std::string_view text{};  ///< without its end
        bool ended = false;       ///< a newline was there
        bool too_long = false;    ///< no newline within the bound
    };
    /// The next line up to "\n" or "\r\n", consumed. Empty and not ended: the end of the input.
    [[nodiscard]] line take_line(std::size_t longest);

    /// Bytes consumed.
    [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
    [[nodiscard]] const std::string& name() const noexcept { return source_->name(); }

  private:
    bool extend();

    std::unique_ptr<byte_source> source_;
    std::span<const std::byte> window_;  ///< unconsumed bytes, in the source's block or in joined_
    std::vector<std::byte> joined_;
    std::uint64_t offset_ = 0;
    bool ended_ = false;
};

}  // namespace ropeway
