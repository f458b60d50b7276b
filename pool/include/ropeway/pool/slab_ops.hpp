// SPDX-License-Identifier: Apache-2.0
//
// An event type as a slab sees it: plain function pointers for the paths that are not inlined.
// A value; the functions behind it are pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include <ropeway/pool/event_traits.hpp>

namespace ropeway {

/// What a slab must be able to do with a payload without knowing its type.
struct slab_ops {
    void (*construct)(void*) noexcept = nullptr;  ///< makes a default event in raw storage
    void (*reset)(void*) noexcept = nullptr;      ///< back to a default event
    void (*destroy)(void*) noexcept = nullptr;
    std::uint32_t (*kind_of)(const void*) noexcept = nullptr;
    trace_id (*trace_of)(const void*) noexcept = nullptr;
    /// Trivially copyable: a free payload may hold the poison pattern instead of an object.
    bool poisonable = true;
    std::size_t payload_bytes = 0;

    /// The operations of event type E.
    template <event_type E>
    [[nodiscard]] static constexpr slab_ops of() noexcept {
        slab_ops ops;
        ops.construct = [](void* at) noexcept { std::construct_at(static_cast<E*>(at)); };
        ops.reset = [](void* at) noexcept { event_traits<E>::reset(*static_cast<E*>(at)); };
        ops.destroy = [](void* at) noexcept { std::destroy_at(static_cast<E*>(at)); };
        ops.kind_of = [](const void* at) noexcept {
            return event_traits<E>::kind(*static_cast<const E*>(at));
        };
        ops.trace_of = [](const void* at) noexcept {
            return event_traits<E>::trace(*static_cast<const E*>(at));
        };
        ops.poisonable = std::is_trivially_copyable_v<E>;
        ops.payload_bytes = sizeof(E);
        return ops;
    }
};

}  // namespace ropeway
