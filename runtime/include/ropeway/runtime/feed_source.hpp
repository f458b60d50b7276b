// SPDX-License-Identifier: Apache-2.0
//
// Where the bytes of a file feed come from: a file, bytes in memory, or either of these unpacked
// from gzip on the way. A source is owned by the feed that reads it and used by its thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <ranges>
#include <span>
#include <string>

namespace ropeway {

/// A stream of bytes in blocks, read once from start to end.
///
/// Thread safety: none. Allocation: one block at construction.
class byte_source {
  public:
    byte_source() = default;
    byte_source(const byte_source&) = delete;
    byte_source& operator=(const byte_source&) = delete;
    virtual ~byte_source() = default;

    /// The next bytes, valid until the next call; empty at the end.
    /// @throws feed_error when they cannot be read or unpacked.
    [[nodiscard]] virtual std::span<const std::byte> next_block() = 0;
    /// What error messages call this source.
    [[nodiscard]] virtual const std::string& name() const noexcept = 0;
};

/// The bytes of a file, as they are on disk, 64 KiB at a time.
/// @throws feed_error (cannot_open) with the system's reason.
[[nodiscard]] std::unique_ptr<byte_source> open_file_bytes(const std::filesystem::path& path);

/// Bytes that the caller owns and keeps until the source is gone; nothing is copied.
[[nodiscard]] std::unique_ptr<byte_source> borrow_bytes(std::span<const std::byte> bytes,
                                                        std::string name);
/// Not for bytes that are gone when the call returns, say a vector that a function returned.
template <std::ranges::range Temporary>
requires(!std::ranges::borrowed_range<Temporary>)  //
    std::unique_ptr<byte_source> borrow_bytes(Temporary&&, std::string)
= delete;

/// Unpacks gzip (one member or several) while reading. A stream that ends early, fails its
/// checksum, or is followed by anything but another member is a feed_error.
[[nodiscard]] std::unique_ptr<byte_source> unpack_gzip(std::unique_ptr<byte_source> packed);

}  // namespace ropeway
