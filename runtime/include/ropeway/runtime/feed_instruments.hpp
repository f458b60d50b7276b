// SPDX-License-Identifier: Apache-2.0
//
// Names of instruments to dense ids, bounded. Owned by one feed and filled by it in the order of
// first appearance; used by the thread that drives the feed, read by others after it has ended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace ropeway {

/// Gives ids 1, 2, 3... to names. Id 0 means "no instrument" everywhere in the library.
///
/// Ownership: owns its names. Thread safety: none; see above. Allocation: on the first appearance
/// of a name only.
class instrument_table {
  public:
    /// @param max_instruments the bound; 0 is a table that is always full.
    explicit instrument_table(std::size_t max_instruments);
    instrument_table(const instrument_table&) = delete;
    instrument_table& operator=(const instrument_table&) = delete;
    instrument_table(instrument_table&&) = default;
    instrument_table& operator=(instrument_table&&) = default;
    ~instrument_table() = default;

    /// The name's id; a new name is added. 0 when the name is new and the table is full.
    [[nodiscard]] std::uint32_t id_of(std::string_view name);
    /// The name's id, or 0 if it never appeared.
    [[nodiscard]] std::uint32_t find(std::string_view name) const;
    /// The name of an id that was given out, else an empty view. Valid as long as the table.
    [[nodiscard]] std::string_view name_of(std::uint32_t id) const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return names_.size(); }
    [[nodiscard]] std::size_t max_size() const noexcept { return max_; }

  private:
    struct name_hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view name) const noexcept {
            return std::hash<std::string_view>{}(name);
        }
    };
    std::size_t max_;
    std::unordered_map<std::string, std::uint32_t, name_hash, std::equal_to<>> ids_;
    std::vector<std::string_view> names_;  ///< of ids 1...; views of the keys of ids_
    std::uint32_t latest_ = 0;             ///< most rows name the instrument of the row before
};

}  // namespace ropeway
