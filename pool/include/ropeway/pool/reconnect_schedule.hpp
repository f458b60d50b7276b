// SPDX-License-Identifier: Apache-2.0
//
// When to try again: quick tries first, then a doubling delay with jitter up to a cap, for ever or
// so many times; and sooner while somebody waits. Pure: time and randomness are handed in.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <span>

namespace ropeway {

/// How a delay is varied.
enum class jitter_kind : std::uint8_t {
    none,
    plus_minus,  ///< by up to the factor, to both sides, at the cap too
    additive,    ///< by up to the factor, upwards, then cut at the cap
    full,        ///< anything from zero to the delay
};

struct reconnect_params {
    /// Delays of the first tries, before the doubling ones; zeros at the end are not used.
    std::array<std::chrono::milliseconds, 4> quick{};
    /// The first doubling delay. 1 ms..1 h.
    std::chrono::milliseconds base{1000};
    /// The largest delay before jitter. base..1 h.
    std::chrono::milliseconds cap{16'000};
    jitter_kind jitter = jitter_kind::plus_minus;
    /// 0..0.5
    double jitter_factor = 0.1;
    /// Tries in all; 0: no end.
    std::uint32_t max_attempts = 0;
    /// The longest delay while a caller waits; zero: no matter who waits.
    std::chrono::milliseconds while_waiting{};
};

namespace reconnect_presets {
/// 10, 50, 250 ms, then 1, 2, 4, 8, 16, 16... s +-10 %; at most 200 ms apart while a caller waits.
[[nodiscard]] constexpr reconnect_params pool() noexcept {
    using std::chrono::milliseconds;
    return {.quick = {milliseconds{10}, milliseconds{50}, milliseconds{250}, milliseconds{0}},
            .while_waiting = milliseconds{200}};
}
/// 1, 2, 4, 8, 16, 16... s +-10 %, as seed 000 words it.
[[nodiscard]] constexpr reconnect_params seed_000() noexcept { return {}; }
/// 1, 2, 4, 8, 16, 30, 30... s +-10 %: nodes that nobody waits on.
[[nodiscard]] constexpr reconnect_params node() noexcept {
    return {.cap = std::chrono::milliseconds{30'000}};
}
/// Three tries of a query that may be repeated.
[[nodiscard]] constexpr reconnect_params retry_query() noexcept {
    using std::chrono::milliseconds;
    return {.base = milliseconds{50}, .cap = milliseconds{1000}, .max_attempts = 3};
}
}  // namespace reconnect_presets

class reconnect_schedule {
  public:
    /// The delay before try `attempt` (from 0) once max_attempts are over.
    static constexpr std::chrono::nanoseconds never = std::chrono::nanoseconds::max();

    /// @throws std::invalid_argument with the field, its value and its range
    explicit reconnect_schedule(const reconnect_params& params = {}, std::uint64_t seed = 1);

    /// The delay before the next try; counts it. `never` when max_attempts are over.
    [[nodiscard]] std::chrono::nanoseconds next(bool somebody_waits) noexcept;
    /// Back to the first try.
    void succeeded() noexcept { attempt_ = 0; }
    /// Tries counted since the last success.
    [[nodiscard]] std::uint32_t attempts() const noexcept { return attempt_; }

    /// The delay before try `attempt` (from 0); `random` is uniform in [0, 1).
    [[nodiscard]] static std::chrono::nanoseconds delay(const reconnect_params& params,
                                                        std::uint32_t attempt, double random,
                                                        bool somebody_waits) noexcept;

  private:
    reconnect_params params_;
    std::uint64_t random_;
    std::uint32_t attempt_ = 0;
};

}  // namespace ropeway
