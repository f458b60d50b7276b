// SPDX-License-Identifier: Apache-2.0
//
// Numbers come from one counter; names live in a fixed table of two words each, so that a report
// may read one while its thread writes it.
#include <ropeway/pool/thread_number.hpp>

#include <array>
#include <atomic>
#include <cstring>

namespace ropeway {

namespace {

constexpr std::size_t named_threads = 4096;
constexpr std::size_t name_bytes = 16;
using name_words = std::array<std::atomic<std::uint64_t>, name_bytes / 8>;

constinit std::array<name_words, named_threads> names{};
constinit std::atomic<std::uint32_t> next_number{1};

}  // namespace

namespace detail {

std::uint16_t assign_thread_number() noexcept {
    // relaxed: only the number's uniqueness matters
    std::uint32_t number = next_number.load(std::memory_order_relaxed);
    while (number < last_thread_number &&
           !next_number.compare_exchange_weak(number, number + 1, std::memory_order_relaxed,
                                              std::memory_order_relaxed)) {
    }
    this_thread_number = static_cast<std::uint16_t>(number);
    return this_thread_number;
}

}  // namespace detail

void name_this_thread(std::string_view name) noexcept {
    const std::uint16_t number = thread_number();
    if (number >= named_threads) {
        return;
    }
    std::array<char, name_bytes> text{};
    name.copy(text.data(), name_bytes - 1);
    for (std::size_t i = 0; i != names[number].size(); ++i) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data() + i * 8, 8);
        // relaxed: a name for reports; one that is just being changed may be read half old
        names[number][i].store(word, std::memory_order_relaxed);
    }
}

std::string thread_text(std::uint16_t number) {
    if (number == 0) {
        return "unknown thread";
    }
    std::string text = "thread " + std::to_string(number);
    if (number < named_threads) {
        std::array<char, name_bytes> name{};
        for (std::size_t i = 0; i != names[number].size(); ++i) {
            const std::uint64_t word =
                names[number][i].load(std::memory_order_relaxed);  // as above
            std::memcpy(name.data() + i * 8, &word, 8);
        }
        if (name[0] != '\0') {
            name.back() = '\0';
            return std::string{name.data()}.append(" (").append(text).append(")");
        }
    }
    return text;
}

}  // namespace ropeway
