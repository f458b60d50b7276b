// SPDX-License-Identifier: Apache-2.0
//
// What a handler is told about the event it is given, beside the event itself. A plain value made
// by the worker for each call; valid during the call only.
#pragma once

#include <cstdint>

namespace ropeway {

/// Facts about one delivery. A handler takes it as an optional second parameter.
struct delivery {
    /// Dense per publisher, from 1, given at publish. Both rings of a publisher share it.
    std::uint64_t sequence = 0;
    /// Wanted events of this publisher that this subscription lost since its previous delivery from
    /// it (lossy overflow only; exact). A book built from the stream is stale when it is not 0.
    std::uint64_t lost_before = 0;
    /// Events of this publisher that newer ones of their conflation key replaced since the previous
    /// delivery from it (conflate only; exact).
    std::uint64_t conflated_before = 0;
    /// Events of the same ring that were committed but not yet taken when this batch was taken.
    std::uint32_t lag = 0;
    /// The publisher's number, as publisher::number() tells it.
    std::uint16_t publisher = 0;
    /// True for the last event of a batch: a good moment to flush what the handler gathered.
    bool end_of_batch = false;
};

}  // namespace ropeway
