// SPDX-License-Identifier: Apache-2.0
//
// Liveness of anything that is checked from time to time: a connection pool, later a node. Pure: no
// clock, no thread, no socket; callers tell it results and times, and do what it says is due. Not
// thread-safe: one owner.
//
//               success                 failure              failures reach the threshold
//  connecting ──────────► healthy ◄──────────────► suspect ─────────────► unhealthy
//      │  threshold          ▲      success            fast probes            │ a retry begins
//      └────────► unhealthy  └───────────── success ────────────────── reconnecting
//                                  any state ── removed or shut down ──► disconnected (final)
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ropeway {

enum class liveness_state : std::uint8_t {
    connecting,  ///< never yet reached
    healthy,
    suspect,       ///< failed lately, below the threshold: probed fast
    unhealthy,     ///< failed `threshold` times in a row
    reconnecting,  ///< a retry is in progress
    disconnected,  ///< removed or shut down; final
};
inline constexpr std::size_t liveness_states = 6;
[[nodiscard]] std::string_view to_string(liveness_state state) noexcept;

/// What a caller tells it.
enum class liveness_input : std::uint8_t {
    success,   ///< a probe or a real use succeeded
    failure,   ///< ... failed
    retrying,  ///< a reconnection attempt begins
    removed,   ///< taken out, or shut down
};
inline constexpr std::size_t liveness_inputs = 4;

struct liveness_params {
    /// Consecutive failures that make it unhealthy. 1..100.
    std::uint32_t threshold = 3;
    /// Between probes while healthy. 1 ms..1 h.
    std::chrono::milliseconds interval{5000};
    /// Between probes while suspect. 1 ms..interval.
    std::chrono::milliseconds fast_interval{5000};
    /// A probe's own deadline. 1 ms..1 min.
    std::chrono::milliseconds timeout{5000};

    /// The longest time from an end going away to `unhealthy`.
    [[nodiscard]] constexpr std::chrono::milliseconds detects_within() const noexcept {
        return interval + threshold * fast_interval + timeout;
    }
};

namespace liveness_presets {
/// 5 s, 3 failures, as seed 002 words it.
[[nodiscard]] constexpr liveness_params seed_002() noexcept { return {}; }
/// Detects within 1.75 s.
[[nodiscard]] constexpr liveness_params fast() noexcept {
    using std::chrono::milliseconds;
    return {.threshold = 3,
            .interval = milliseconds{500},
            .fast_interval = milliseconds{250},
            .timeout = milliseconds{500}};
}
/// A resource pool's default: real uses tell it most; probes are the rest.
[[nodiscard]] constexpr liveness_params pool() noexcept { return fast(); }
}  // namespace liveness_presets

/// A change of state, told once.
struct liveness_change {
    liveness_state from = liveness_state::connecting;
    liveness_state to = liveness_state::connecting;
};

class liveness {
  public:
    /// @throws std::invalid_argument with the field, its value and its range
    explicit liveness(const liveness_params& params = {});

    /// @return the change, if there was one.
    std::optional<liveness_change> tell(liveness_input input) noexcept;
    [[nodiscard]] liveness_state state() const noexcept { return state_; }
    [[nodiscard]] std::uint32_t failures_in_a_row() const noexcept { return failures_; }
    /// How long after the beginning of the last probe the next is due in this state, at its end at
    /// the earliest; zero: none is (unhealthy: a reconnect_schedule says when to try).
    [[nodiscard]] std::chrono::milliseconds next_probe_after() const noexcept;
    /// The deadline of a probe that begins in this state: `timeout`, while suspect at most
    /// `fast_interval`. Probes that hang, one after the other, keep detects_within() so.
    [[nodiscard]] std::chrono::milliseconds probe_timeout() const noexcept;
    [[nodiscard]] const liveness_params& params() const noexcept { return params_; }

    /// The state that `input` leads to, given the failures in a row that this input makes: the
    /// whole matrix as a function.
    [[nodiscard]] static liveness_state next(liveness_state from, liveness_input input,
                                             std::uint32_t failures,
                                             std::uint32_t threshold) noexcept;

  private:
    liveness_params params_;
    liveness_state state_ = liveness_state::connecting;
    std::uint32_t failures_ = 0;
};

}  // namespace ropeway
