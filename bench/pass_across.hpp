// SPDX-License-Identifier: Apache-2.0
//
// Events from one thread to another through an SPSC ring, and back to where they came from: what a
// free list costs when get and put lie on two threads. Called by the measuring thread, which makes;
// the other thread lives as long as the call.
#pragma once

#include <cstdint>
#include <memory>
#include <thread>

#include "measured.hpp"
#include "spsc_ring.hpp"
#include "stopwatch.hpp"
#include "tally.hpp"

namespace ropeway::bench {

/// Nanoseconds per event. Take(handle, number) makes and fills one, Give(handle) reads its `user`
/// and gives it back.
template <class Handle, class Take, class Give>
[[nodiscard]] measured pass_across(std::uint64_t events, Take&& take, Give&& give) {
    measured out;
    const auto ring = std::make_unique<spsc_ring<Handle, 1024>>();
    std::uint64_t sum = 0;
    const stopwatch since;
    {
        const std::jthread other{[&] {
            patience waiting;
            for (std::uint64_t i = 0; i < events;) {
                if (Handle* const next = ring->front(); next != nullptr) {
                    sum += give(*next);
                    ring->release();
                    ++i;
                    waiting.reset();
                } else {
                    waiting.wait();
                }
            }
        }};
        for (std::uint64_t i = 0; i < events; ++i) {
            patience waiting;
            Handle* place = ring->try_reserve();
            while (place == nullptr) {
                waiting.wait();
                place = ring->try_reserve();
            }
            take(*place, i);
            ring->commit();
        }
    }
    out.value = since.seconds() * 1e9 / static_cast<double>(events);
    expect(sum, checksum_of(events), "checksum", out.faults);
    return out;
}

}  // namespace ropeway::bench
