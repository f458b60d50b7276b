// SPDX-License-Identifier: Apache-2.0
//
// How the library reaches what it must know of a user's event type: kind and routing version, and
// optionally instrument, trace id, receive stamp, clone and reset. Specialise event_traits<E> for a
// struct whose members have other names; a struct with members `kind` and `routing_version` needs
// nothing. Every function is called concurrently on different objects and must not throw.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <ropeway/pool/block_copy.hpp>
#include <ropeway/pool/event_kind.hpp>

namespace ropeway {

/// A 128-bit id that follows an event through logs and failure records.
struct trace_id {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    friend constexpr bool operator==(const trace_id&, const trace_id&) noexcept = default;
};

namespace detail {

/// Asks the function is_critical(kind) that belongs to the type of E's member `kind`: ours, or one
/// beside the user's enum (found by its argument, hence outside any class).
template <class E>
[[nodiscard]] constexpr bool critical_by_name(std::uint32_t kind) noexcept {
    if constexpr (requires(const E& e) {
                      { is_critical(e.kind) } -> std::same_as<bool>;
                  }) {
        using kind_type = std::remove_cvref_t<decltype(std::declval<E&>().kind)>;
        return kind >= max_event_kinds || is_critical(static_cast<kind_type>(kind));
    } else {
        return true;  // a type that does not say is never filtered or dropped
    }
}

template <class E>
concept has_kind = requires(const E& event) {
    static_cast<std::uint32_t>(event.kind);
};

template <class E>
concept has_routing_version = requires(E& event, std::uint64_t version) {
    event.routing_version = version;
    version = event.routing_version;
};

}  // namespace detail

/// Defaults that a specialisation may inherit and override one by one.
template <class E>
struct event_traits_base {
    /// The event's kind as a number below max_event_kinds (larger: unknown, thus critical).
    [[nodiscard]] static constexpr std::uint32_t kind(
        const E& event) noexcept requires detail::has_kind<E> {
        return static_cast<std::uint32_t>(event.kind);
    }
    /// Kinds that are never dropped, conflated, filtered or cancelled.
    [[nodiscard]] static constexpr bool is_critical(std::uint32_t kind) noexcept {
        return detail::critical_by_name<E>(kind);
    }
    [[nodiscard]] static constexpr std::uint64_t routing_version(
        const E& event) noexcept requires detail::has_routing_version<E> {
        return event.routing_version;
    }
    static constexpr void set_routing_version(
        E& event, std::uint64_t version) noexcept requires detail::has_routing_version<E> {
        event.routing_version = version;
    }
    /// 0 = no instrument: passes every instrument filter.
    [[nodiscard]] static constexpr std::uint32_t instrument(const E& event) noexcept {
        if constexpr (requires { event.instrument; }) {
            return static_cast<std::uint32_t>(event.instrument);
        } else {
            return 0;
        }
    }
    [[nodiscard]] static constexpr trace_id trace(const E& event) noexcept {
        if constexpr (requires {
                          { event.trace } -> std::convertible_to<trace_id>;
                      }) {
            return event.trace;
        } else {
            return {};
        }
    }
    /// Kinds of which the latest event of a key stands for the older ones. Critical kinds never
    /// are.
    [[nodiscard]] static constexpr bool conflatable(std::uint32_t) noexcept { return false; }
    /// Events of a conflatable kind with the same key replace each other.
    [[nodiscard]] static constexpr std::uint64_t conflation_key(const E& event) noexcept {
        if constexpr (requires { event.instrument; } && detail::has_kind<E>) {
            return static_cast<std::uint64_t>(event.kind) << 32U |
                   static_cast<std::uint32_t>(event.instrument);
        } else {
            return 0;
        }
    }
    /// Brings the newer event into the older one of its key; by default replaces it.
    static constexpr void fold(E& older, const E& newer) noexcept { older = newer; }
    /// Copies into storage whose previous content is unspecified (constructed for a type that is
    /// not trivially copyable).
    static constexpr void clone(E& to, const E& from) noexcept { to = from; }
    /// Back to a default event, before poison and before reuse.
    static void reset(E& event) noexcept {
        if constexpr (std::is_trivially_copyable_v<E>) {
            static const E fresh{};
            detail::copy_block<sizeof(E)>(&event, &fresh);
        } else {
            event = E{};
        }
    }
};

template <class E>
struct event_traits : event_traits_base<E> {};

/// What the pool and the dispatcher ask of an event type.
template <class E>
concept event_type = std::is_nothrow_default_constructible_v<E> &&
                         std::is_nothrow_destructible_v<E> && alignof(E) <= 16 &&
                     requires(E& e, const E& c, std::uint32_t k, std::uint64_t v) {
    { event_traits<E>::kind(c) }
    noexcept->std::same_as<std::uint32_t>;
    { event_traits<E>::is_critical(k) }
    noexcept->std::same_as<bool>;
    { event_traits<E>::routing_version(c) }
    noexcept->std::same_as<std::uint64_t>;
    { event_traits<E>::set_routing_version(e, v) }
    noexcept;
    { event_traits<E>::instrument(c) }
    noexcept->std::same_as<std::uint32_t>;
    { event_traits<E>::trace(c) }
    noexcept->std::same_as<trace_id>;
    { event_traits<E>::clone(e, c) }
    noexcept;
    { event_traits<E>::reset(e) }
    noexcept;
    { event_traits<E>::conflatable(k) }
    noexcept->std::same_as<bool>;
    { event_traits<E>::conflation_key(c) }
    noexcept->std::same_as<std::uint64_t>;
    { event_traits<E>::fold(e, c) }
    noexcept;
};

inline constexpr std::size_t slot_line_bytes = 64;
inline constexpr std::size_t slot_header_bytes = 16;

/// Cache lines of a slot, header included: two (112 bytes for the user) or as many as E needs.
/// Specialise to make a slot larger. A third line costs about a third of the throughput.
template <class E>
inline constexpr std::size_t slot_lines =
    sizeof(E) + slot_header_bytes <= 2 * slot_line_bytes
        ? 2
        : (sizeof(E) + slot_header_bytes + slot_line_bytes - 1) / slot_line_bytes;

template <class E>
inline constexpr std::size_t slot_bytes = slot_lines<E>* slot_line_bytes;

}  // namespace ropeway
