// SPDX-License-Identifier: Apache-2.0
//
// What a slab keeps per slot at `sampled` and above: the last four transitions and the stack of the
// latest. Words are atomic because a misused slot is read while its owner writes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include <ropeway/pool/slab.hpp>

namespace ropeway {

struct slab::notes {
    struct record {
        std::atomic<std::uint64_t> meta;  ///< make_meta(site, thread, ms)
        std::atomic<std::uint64_t> life;  ///< generation 32 | action 8; 0 = empty
    };
    std::array<record, history_records> records;
    std::array<std::atomic<const void*>, stack_frames> stack;
};

}  // namespace ropeway
