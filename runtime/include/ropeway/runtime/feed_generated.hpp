// SPDX-License-Identifier: Apache-2.0
//
// A feed for machines without recorded files: synthetic events with the burst shape of real ones,
// the same for the same seed on every machine. The caller owns the feed; one thread drives it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>

#include <ropeway/runtime/feed.hpp>

namespace ropeway {

/// Whose bursts are imitated. Shapes are tables of how busy a second is, how many milliseconds of
/// it hold messages, and how many each of these holds; they were fitted to statistics of two
/// recordings (see runtime/README.md) and tested against the same statistics.
enum class burst_shape : std::uint8_t {
    binance_futures,  ///< one liquid future: 272/s on average, up to 180 in 1 ms, 2500 in 1 s
    miax_options,     ///< an options exchange: 850/s on average, up to 420 in 1 ms, 5500 in 1 s
};

[[nodiscard]] std::string_view to_string(burst_shape shape) noexcept;

/// Relative frequencies of kinds; only their ratios matter. At least one is above 0.
struct kind_weights {
    std::uint32_t quote = 0;
    std::uint32_t trade = 0;
    std::uint32_t book_update = 0;
    std::uint32_t ticker = 0;
    std::uint32_t market_status = 0;
};

struct generated_feed_params {
    /// Default: the shape with the larger bursts.
    burst_shape shape = burst_shape::miax_options;
    std::uint64_t seed = 1;
    /// 1 to 65536. Lower ids are more frequent: half of the events go to a quarter of them.
    std::uint32_t instruments = 500;
    /// Default: about what one Binance future sends.
    kind_weights kinds{.quote = 70, .trade = 23, .book_update = 7};
    /// A heartbeat event at each multiple of it; 0 = none. Default: as MIAX does.
    std::chrono::nanoseconds heartbeat_interval = std::chrono::seconds{1};
    /// The feed ends before an event later than this after its start; 0 = never.
    std::chrono::nanoseconds duration{0};
    /// The feed ends after this many events; 0 = never.
    std::uint64_t events = 0;
    /// Receive stamp of the start, UNIX epoch.
    std::int64_t start_ns = 1'700'000'000'000'000'000;
};

/// @throws feed_error (bad_value) when a parameter is out of its range.
[[nodiscard]] std::unique_ptr<feed> make_generated_feed(const generated_feed_params& params = {});

}  // namespace ropeway
