// SPDX-License-Identifier: Apache-2.0
//
// Sites: where in the program a slot or lease was acquired or given back, interned to 16 bits so
// that one fits in a slot's header. The table is process-wide, bounded, lock-free, and never
// shrinks. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string_view>

#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/thread_number.hpp>

namespace ropeway {

/// Number of an interned site; constant for the process's life.
using site_id = std::uint16_t;

/// Sites that exist without being interned.
namespace known_site {
inline constexpr site_id unknown = 0;     ///< nobody said
inline constexpr site_id destructor = 1;  ///< ~pooled: the handle's scope ended
inline constexpr site_id recycler = 2;    ///< a bulk return by the dispatcher's workers
inline constexpr site_id table_full = 3;  ///< the site table had no room left
}  // namespace known_site

/// Sites a process can tell apart; later ones are all `known_site::table_full`.
inline constexpr std::uint32_t max_sites = 4096;

/// Interns a site by its name (or file) and line. The text is copied, its last 100 bytes at most.
/// @return its number, the same for the same text and line. Allocates nothing.
[[nodiscard]] site_id intern_site(std::string_view name, std::uint32_t line = 0) noexcept;

/// "feed.cpp:42", or the name alone where the line is 0. Static storage.
[[nodiscard]] std::string_view site_text(site_id id) noexcept;

namespace detail {
inline constexpr std::uint32_t first_free_site = 4;

/// Keys of the sites, 0 = free. Written once each, by the slow path below.
inline constinit std::array<std::atomic<std::uint64_t>, max_sites> site_keys{};

[[gnu::cold]] site_id intern_location(const char* file, std::uint32_t line,
                                      std::uint64_t key) noexcept;

[[nodiscard]] inline std::uint32_t site_place(std::uint64_t key) noexcept {
    return static_cast<std::uint32_t>((key * 0x9E37'79B9'7F4A'7C15U) >> 52);  // 12 bits: max_sites
}
}  // namespace detail

/// A place in the source, cheap to pass: interned only when its id is asked for.
class site {
  public:
    constexpr site() noexcept = default;
    /// The caller's place; meant as a default argument. (Builtins: clang 14 lacks source_location.)
    [[nodiscard]] static constexpr site here(const char* file = __builtin_FILE(),
                                             std::uint32_t line = __builtin_LINE()) noexcept {
        return site{file, line};
    }

    /// Its number: about 1 ns after the first time. Allocates nothing.
    [[nodiscard]] site_id id() const noexcept {
        if (file_ == nullptr) {
            return known_site::unknown;
        }
        // A file name's address and the line tell sites apart exactly (addresses have 47 bits).
        const std::uint64_t key =
            (reinterpret_cast<std::uintptr_t>(file_) << 16) ^ std::uint64_t{line_};
        const std::uint32_t place = detail::site_place(key);
        // relaxed: the number is the place itself; the text is published separately
        if (detail::site_keys[place].load(std::memory_order_relaxed) == key) [[likely]] {
            return static_cast<site_id>(place);
        }
        return detail::intern_location(file_, line_, key);
    }

  private:
    constexpr site(const char* file, std::uint32_t line) noexcept : file_(file), line_(line) {}

    const char* file_ = nullptr;
    std::uint32_t line_ = 0;
};

}  // namespace ropeway
