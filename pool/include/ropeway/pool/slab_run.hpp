// SPDX-License-Identifier: Apache-2.0
//
// A slab as a loop over many of its slots sees it: what leads to a slot, read once and kept in
// registers. Made on the stack for one batch; rights and duties are those of the slab's functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

#include <ropeway/pool/event_traits.hpp>
#include <ropeway/pool/slab.hpp>

namespace ropeway {

template <event_type E>
class slab_run {
  public:
    explicit slab_run(const slab& of) noexcept
        : memory_(of.memory_),
          slots_(of.slots_),
          usable_(of.stride_ == slot_bytes<E> && !of.had_own_allocations()) {}

    /// False: the slab keeps payloads elsewhere (guard level degenerate); ask it for each.
    [[nodiscard]] bool usable() const noexcept { return usable_; }
    [[nodiscard]] std::uint32_t size() const noexcept { return slots_; }
    [[nodiscard]] E* payload(std::uint32_t index) const noexcept {
        return std::launder(reinterpret_cast<E*>(slot(index) + slab::header_bytes));
    }
    [[nodiscard]] slot_header& header(std::uint32_t index) const noexcept {
        return *std::launder(reinterpret_cast<slot_header*>(slot(index)));
    }

  private:
    [[nodiscard]] std::byte* slot(std::uint32_t index) const noexcept {
        return memory_ + std::size_t{index} * slot_bytes<E>;
    }

    std::byte* memory_;
    std::uint32_t slots_;
    bool usable_;
};

}  // namespace ropeway
