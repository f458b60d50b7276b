// SPDX-License-Identifier: Apache-2.0
//
// Records and lines out of blocks.
#include "feed_reader.hpp"

#include <algorithm>
#include <utility>

namespace ropeway {

feed_reader::feed_reader(std::unique_ptr<byte_source> source) : source_(std::move(source)) {}

/// One block more behind the window; false at the end.
bool feed_reader::extend() {
    if (ended_) {
        return false;
    }
    std::vector<std::byte> kept(window_.begin(), window_.end());
    const auto block = source_->next_block();
    if (block.empty()) {
        ended_ = true;
        joined_ = std::move(kept);
        window_ = joined_;
        return false;
    }
    if (kept.empty()) {
        window_ = block;
        return true;
    }
    kept.insert(kept.end(), block.begin(), block.end());
    joined_ = std::move(kept);
    window_ = joined_;
    return true;
}

std::span<const std::byte> feed_reader::peek(std::size_t count) {
    while (window_.size() < count && extend()) {
    }
    return window_.first(std::min(count, window_.size()));
}

std::span<const std::byte> feed_reader::take(std::size_t count) {
    const auto taken = peek(count);
    window_ = window_.subspan(taken.size());
    offset_ += taken.size();
    return taken;
}

std::span<const std::byte> feed_reader::take_block() {
    return take(peek(1).empty() ? 0 : window_.size());
}

feed_reader::line feed_reader::take_line(std::size_t longest) {
    while (std::find(window_.begin(), window_.end(), std::byte{'\n'}) == window_.end() &&
           window_.size() <= longest && extend()) {
    }
    const auto limited = window_.first(std::min(longest + 1, window_.size()));
    const auto newline = std::find(limited.begin(), limited.end(), std::byte{'\n'});
    const bool ended = newline != limited.end();
    const auto length = static_cast<std::size_t>(newline - limited.begin());
    std::string_view text(reinterpret_cast<const char*>(limited.data()), length);  // NOLINT
    const auto consumed = length + (ended ? 1U : 0U);
    window_ = window_.subspan(consumed);
    offset_ += consumed;
    if (ended && text.ends_with('\r')) {
        text.remove_suffix(1);
    }
    return {text, ended, !ended && length > longest};
}

}  // namespace ropeway
