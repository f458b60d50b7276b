// SPDX-License-Identifier: Apache-2.0
//
// The site table: open addressing over 64-bit keys. A place is claimed by a CAS of its key, then
// its text is written and published; both happen once per place.
#include <ropeway/pool/site.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

namespace ropeway {

namespace {

constexpr std::size_t text_bytes = 112;

struct site_entry {
    std::atomic<std::uint32_t> length{0};  ///< 0 = not yet published
    std::array<char, text_bytes> text{};
};
constinit std::array<site_entry, max_sites> entries{};

constexpr std::array<std::string_view, detail::first_free_site> known_texts{
    "unknown site", "a handle's destructor", "the recycler", "a site beyond the table"};

void write_text(site_entry& entry, std::string_view name, std::uint32_t line) noexcept {
    constexpr std::size_t kept = 100;
    if (name.size() > kept) {
        name.remove_prefix(name.size() - kept);
    }
    std::size_t length = name.copy(entry.text.data(), kept);
    if (line != 0) {
        length += static_cast<std::size_t>(
            std::snprintf(entry.text.data() + length, text_bytes - length, ":%u", line));
    }
    // release: pairs with site_text's acquire, the text becomes visible
    entry.length.store(static_cast<std::uint32_t>(std::max<std::size_t>(length, 1)),
                       std::memory_order_release);
}

/// The key's place, claimed if it was new. Probes the whole table: it is bounded, and this is rare.
site_id place_of(std::uint64_t key, std::string_view name, std::uint32_t line) noexcept {
    std::uint32_t place = detail::site_place(key);
    for (std::uint32_t tries = 0; tries != max_sites; ++tries, ++place) {
        place %= max_sites;
        if (place < detail::first_free_site) {
            continue;
        }
        // relaxed: the key is the whole message; the text is published by its length
        std::uint64_t seen = detail::site_keys[place].load(std::memory_order_relaxed);
        if (seen == key) {
            return static_cast<site_id>(place);
        }
        if (seen == 0) {
            if (detail::site_keys[place].compare_exchange_strong(
                    seen, key, std::memory_order_relaxed, std::memory_order_relaxed)) {  // as above
                write_text(entries[place], name, line);
                return static_cast<site_id>(place);
            }
            if (seen == key) {
                return static_cast<site_id>(place);
            }
        }
    }
    return known_site::table_full;
}

}  // namespace

namespace detail {

site_id intern_location(const char* file, std::uint32_t line, std::uint64_t key) noexcept {
    // Only the file's own name: a report must not depend on where the program was built.
    std::string_view name{file};
    if (const std::size_t slash = name.rfind('/'); slash != std::string_view::npos) {
        name.remove_prefix(slash + 1);
    }
    return place_of(key, name, line);
}

}  // namespace detail

site_id intern_site(std::string_view name, std::uint32_t line) noexcept {
    std::uint64_t key = 0xCBF2'9CE4'8422'2325U;  // FNV-1a over the text, then the line
    for (const char c : name) {
        key = (key ^ static_cast<unsigned char>(c)) * 0x0000'0100'0000'01B3U;
    }
    key = (key ^ line) * 0x0000'0100'0000'01B3U;
    return place_of(key | (std::uint64_t{1} << 63), name, line);  // addresses leave this bit free
}

std::string_view site_text(site_id id) noexcept {
    if (id < detail::first_free_site) {
        return known_texts[id];
    }
    if (id >= max_sites) {
        return known_texts[known_site::unknown];
    }
    // acquire: pairs with write_text's release
    const std::uint32_t length = entries[id].length.load(std::memory_order_acquire);
    return length == 0 ? known_texts[known_site::unknown]
                       : std::string_view{entries[id].text.data(), length};
}

}  // namespace ropeway
