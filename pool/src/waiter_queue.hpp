// SPDX-License-Identifier: Apache-2.0
//
// Callers that wait for a lease, in order of arrival, those with priority before the others. The
// nodes stand on the callers' stacks; every member is called under one lock of the owner's.
#pragma once

#include <atomic>
#include <cstdint>

#include <ropeway/pool/resource_error.hpp>

namespace ropeway::detail {

/// What became of a waiter: the values of its word.
namespace waiter_word {
inline constexpr std::uint32_t waiting = 0;
inline constexpr std::uint32_t handed = 1;  ///< `slot` is active, on its behalf
inline constexpr std::uint32_t ended = 2;   ///< `why`
}  // namespace waiter_word

struct waiter {
    std::atomic<std::uint32_t> word{waiter_word::waiting};
    std::uint32_t slot = 0;
    resource_error_kind why = resource_error_kind::none;
    bool priority = false;
    std::uint64_t turn = 0;  ///< place in the order; 0: not yet given
    waiter* next = nullptr;
    waiter* before = nullptr;
};

class waiter_queue {
  public:
    /// At the end; one that has a turn already, at the place of that turn.
    void add(waiter& who) noexcept {
        list& into = who.priority ? first_ : second_;
        if (who.turn == 0) {
            who.turn = ++turns_;
        }
        waiter* after = into.last;
        while (after != nullptr && after->turn > who.turn) {
            after = after->before;
        }
        who.before = after;
        who.next = after != nullptr ? after->next : into.head;
        (who.next != nullptr ? who.next->before : into.last) = &who;
        (after != nullptr ? after->next : into.head) = &who;
        ++into.size;
    }
    /// Requires that it is in the queue.
    void take(waiter& who) noexcept {
        list& from = who.priority ? first_ : second_;
        (who.next != nullptr ? who.next->before : from.last) = who.before;
        (who.before != nullptr ? who.before->next : from.head) = who.next;
        who.next = nullptr;
        who.before = nullptr;
        --from.size;
    }
    [[nodiscard]] waiter* first(bool priority) const noexcept {
        return priority ? first_.head : second_.head;
    }
    [[nodiscard]] std::uint32_t size(bool priority) const noexcept {
        return priority ? first_.size : second_.size;
    }
    [[nodiscard]] std::uint32_t size() const noexcept { return first_.size + second_.size; }

  private:
    struct list {
        waiter* head = nullptr;
        waiter* last = nullptr;
        std::uint32_t size = 0;
    };
    list first_{};   ///< with priority
    list second_{};  ///< without
    std::uint64_t turns_ = 0;
};

}  // namespace ropeway::detail
