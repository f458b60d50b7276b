// SPDX-License-Identifier: Apache-2.0
//
// Where a sender's events come from: a generated feed or a replayed file, with the time at which
// each is due. Owned by one sender, used by its thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include <ropeway/pool/market_event.hpp>

#include "options.hpp"

namespace ropeway::soak {

struct input_event {
    market_event event{};
    std::int64_t due_ns = 0;  ///< after the start of the run; 0 = at once
};

class input {
  public:
    input() = default;
    input(const input&) = delete;
    input& operator=(const input&) = delete;
    virtual ~input() = default;
    /// False at the end.
    virtual bool next(input_event& out) = 0;
};

/// A replay file that was read through once: whole, and how much it holds.
struct replay_facts {
    std::uint64_t events = 0;  ///< with the critical ones that are put in
    double seconds = 0.0;      ///< as recorded
    double speed = 1.0;        ///< at which it will be replayed; 0 = max
};

/// Reads the file to its end. Throws usage_error when it is missing, truncated or corrupt.
[[nodiscard]] replay_facts inspect_replay(const options& wanted);

/// The input of one of `publishers` senders: its share of the rate, its own seed.
[[nodiscard]] std::unique_ptr<input> make_input(const options& wanted,
                                                const std::optional<replay_facts>& replay,
                                                std::uint32_t number, std::uint32_t publishers);

}  // namespace ropeway::soak
