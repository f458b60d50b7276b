// SPDX-License-Identifier: Apache-2.0
//
// Private: parameters as libpq wants them: arrays of types, values, lengths and formats. Lives
// during one call and borrows the parameters. No allocation up to 16 of them.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <ropeway/pool/postgres/parameter.hpp>
#include <ropeway/pool/resource_error.hpp>

#include "pq.hpp"

namespace ropeway::postgres::detail {

/// Where a number's digits are written.
using number_room = std::array<char, 32>;
/// `value` as text, 0-terminated; null for null and for bytes. Text is given as it is.
[[nodiscard]] const char* as_text(const parameter& value, number_room& room) noexcept;

/// Why a statement, or a name of one, cannot be sent, or one of its values: libpq takes
/// 0-terminated text, so one with a zero byte in it would be cut there. Nothing if all can.
[[nodiscard]] std::optional<resource_error> refusal_of(std::string_view text,
                                                       std::span<const parameter> values = {});

/// N places here, or as many as are needed on the heap.
template <class T, std::size_t N>
class few {
  public:
    explicit few(std::size_t count) : many_(count > N ? count : 0) {}
    [[nodiscard]] T* data() noexcept { return many_.empty() ? here_.data() : many_.data(); }
    [[nodiscard]] const T* data() const noexcept {
        return many_.empty() ? here_.data() : many_.data();
    }

  private:
    std::array<T, N> here_;
    std::vector<T> many_;
};

class bound_parameters {
  public:
    explicit bound_parameters(std::span<const parameter> values);
    bound_parameters(const bound_parameters&) = delete;
    bound_parameters& operator=(const bound_parameters&) = delete;
    ~bound_parameters() = default;

    [[nodiscard]] int count() const noexcept { return static_cast<int>(count_); }
    [[nodiscard]] const Oid* types() const noexcept { return types_.data(); }
    [[nodiscard]] const char* const* values() const noexcept { return values_.data(); }
    [[nodiscard]] const int* lengths() const noexcept { return lengths_.data(); }
    [[nodiscard]] const int* formats() const noexcept { return formats_.data(); }

  private:
    static constexpr std::size_t in_place = 16;

    std::size_t count_;
    few<Oid, in_place> types_;
    few<const char*, in_place> values_;
    few<int, in_place> lengths_;
    few<int, in_place> formats_;
    few<number_room, in_place> rooms_;
};

}  // namespace ropeway::postgres::detail
