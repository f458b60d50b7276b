// SPDX-License-Identifier: Apache-2.0
//
// Follows one dense stream (one consumer, publisher and class) and says of each counter whether it
// came in order, left a gap, came twice or came late. Pure; one thread; fixed memory, no
// allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ropeway::soak {

class sequence_track {
  public:
    /// How far back a late counter is told from a doubled one; older ones count as doubled.
    static constexpr std::uint64_t memory = 8192 - 64;

    enum class seen : std::uint8_t {
        next,       ///< the counter after the last one
        gap,        ///< later than that: those between are missing so far
        doubled,    ///< was here before
        reordered,  ///< was missing, and comes after a later one
    };

    seen observe(std::uint64_t counter) noexcept {
        if (counter == last_ + 1) [[likely]] {
            last_ = counter;
            enter(counter);
            return seen::next;
        }
        if (counter > last_) {
            missing_ += counter - last_ - 1;
            clear_between(last_ + 1, counter);
            last_ = counter;
            set(counter);
            return seen::gap;
        }
        if (counter == 0 || last_ - counter >= memory || test(counter)) {
            ++doubled_;
            return seen::doubled;
        }
        set(counter);
        --missing_;
        ++reordered_;
        return seen::reordered;
    }

    [[nodiscard]] std::uint64_t last() const noexcept { return last_; }
    /// Counters up to last() that never came.
    [[nodiscard]] std::uint64_t missing() const noexcept { return missing_; }
    [[nodiscard]] std::uint64_t doubled() const noexcept { return doubled_; }
    [[nodiscard]] std::uint64_t reordered() const noexcept { return reordered_; }

  private:
    /// Bits kept; the word that holds the newest counter is wiped as it is entered.
    static constexpr std::uint64_t window = memory + 64;

    [[nodiscard]] static std::size_t word(std::uint64_t counter) noexcept {
        return static_cast<std::size_t>((counter % window) / 64);
    }
    [[nodiscard]] static std::uint64_t bit(std::uint64_t counter) noexcept {
        return std::uint64_t{1} << (counter % 64);
    }
    void enter(std::uint64_t counter) noexcept {
        // A word is entered at its first bit, so what stood there a window ago is wiped.
        std::uint64_t& place = bits_[word(counter)];
        place = (counter % 64 == 0 ? 0 : place) | bit(counter);
    }
    void set(std::uint64_t counter) noexcept { bits_[word(counter)] |= bit(counter); }
    [[nodiscard]] bool test(std::uint64_t counter) const noexcept {
        return (bits_[word(counter)] & bit(counter)) != 0;
    }
    /// Clears [from, upto], at most one window of them.
    void clear_between(std::uint64_t from, std::uint64_t upto) noexcept {
        if (upto - from >= window) {
            bits_.fill(0);
            return;
        }
        for (std::uint64_t at = from; at <= upto; ++at) {
            if (at % 64 == 0 && upto - at >= 64) {
                bits_[word(at)] = 0;
                at += 63;
            } else if (at % 64 == 0) {
                bits_[word(at)] = 0;  // the rest of the word lies a window back
                break;
            } else {
                bits_[word(at)] &= ~bit(at);
            }
        }
    }

    std::uint64_t last_ = 0;
    std::uint64_t missing_ = 0;
    std::uint64_t doubled_ = 0;
    std::uint64_t reordered_ = 0;
    std::array<std::uint64_t, window / 64> bits_{};
};

}  // namespace ropeway::soak
