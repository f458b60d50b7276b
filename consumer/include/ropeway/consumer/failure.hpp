// SPDX-License-Identifier: Apache-2.0
//
// The record of a handler that threw: everything about it copied out before the event is recycled.
// A plain value of fixed size that owns nothing, so that a worker fills and hands it over without
// allocating or formatting; whoever holds a copy may read it on any thread, at any time.
#pragma once

#include <cstdint>
#include <type_traits>

#include <ropeway/consumer/throw_site.hpp>
#include <ropeway/pool/event_traits.hpp>

namespace ropeway {

/// One failure. Texts end with '\0'.
struct failure_record {
    trace_id trace{};                   ///< of the event; zero = untraced
    char consumer[32]{};                ///< name of the consumer, cut at 31 characters
    std::uint32_t kind = 0;             ///< kind of the event, as event_traits tells it
    std::uint64_t routing_version = 0;  ///< of the event
    std::uint64_t sequence = 0;         ///< of the delivery, dense per publisher
    char what[120]{};                   ///< what() of the exception; ends in "..." when it was cut
    captured_stack stack{};             ///< throw site; empty without ropeway::throw_sites
    std::int64_t at_ns = 0;             ///< when it was caught: system clock, UNIX epoch
};

static_assert(std::is_trivially_copyable_v<failure_record>, "carried through queues by memcpy");

}  // namespace ropeway
