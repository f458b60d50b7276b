// SPDX-License-Identifier: Apache-2.0
//
// A consumer of the soak: checks each event and each delivery against the stamps, enters it into
// its own books, throws or dawdles as planned. One worker at a time calls it (as the dispatcher
// promises); `handled` is for any thread, all else is read when the workers have ended.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <ropeway/consumer/delivery.hpp>
#include <ropeway/consumer/stats.hpp>
#include <ropeway/pool/histogram.hpp>
#include <ropeway/pool/market_event.hpp>

#include "accounting.hpp"
#include "fault_plan.hpp"
#include "sequence_track.hpp"

namespace ropeway::soak {

/// What the throwing consumer says; failure records must repeat it.
inline constexpr const char* planned_throw_text = "thrown as planned by the soak";

struct consumer_params {
    std::string name;
    std::uint32_t number = 0;
    std::uint32_t publishers = 1;
    std::uint64_t seed = 1;
    double throw_percent = 0.0;
    std::chrono::microseconds dawdle{0};  ///< slept in each market event's handler; 0 = not slow
    /// The routing version that the last finished flip returned; outlives the consumer.
    const std::atomic<std::uint64_t>* announced_version = nullptr;
    fault_plan planted{};
};

class consumer {
  public:
    explicit consumer(consumer_params params);

    /// The handler of a subscription with duplicates: the copy is this consumer's own, so it is
    /// scribbled over afterwards; a neighbour that shared it would see a wrong checksum.
    void on_duplicate(market_event& event, const delivery& facts);
    /// The handler of a subscription in place.
    void on_event(const market_event& event, const delivery& facts);

    /// Handler calls so far, returned or thrown. Any thread.
    [[nodiscard]] std::uint64_t approx_handled() const noexcept { return handled_.get(); }
    /// Handler calls so far that threw. Any thread.
    [[nodiscard]] std::uint64_t approx_thrown() const noexcept { return thrown_.get(); }

    /// The books, without what the dispatcher says. Requires that no worker calls it any more.
    [[nodiscard]] consumer_counts books() const;
    [[nodiscard]] const histogram& latency() const noexcept { return latency_; }
    [[nodiscard]] const std::string& name() const noexcept { return params_.name; }

  private:
    struct stream {
        sequence_track track{};
        std::uint64_t told = 0;  ///< losses told in stream; market data only
    };

    void check(const market_event& event, const delivery& facts);
    void enter(const market_event& event, const delivery& facts);
    void enter_with_fault(const market_event& event, const delivery& facts);
    void finish(const market_event& event);
    [[nodiscard]] bool throws_on(std::uint64_t word) const noexcept;

    consumer_params params_;         ///< constant after construction, but for planted
    std::uint64_t throw_below_ = 0;  ///< of 2^32; constant after construction
    std::vector<std::array<stream, stream_classes>> streams_;  ///< by publisher
    kind_counts done_{};
    kind_counts failed_{};
    std::uint64_t stale_done_ = 0;
    std::uint64_t told_wrong_ = 0;
    std::uint64_t corrupt_ = 0;
    std::uint64_t mislabelled_ = 0;
    std::uint64_t thrown_hash_ = 0;
    histogram latency_;
    counter_cell handled_;
    counter_cell thrown_;
    std::unique_ptr<market_event> held_{};  ///< for fault::reordered
    delivery held_facts_{};
};

/// Nanoseconds of the steady clock, as in market_event::publish_ns.
[[nodiscard]] inline std::int64_t steady_ns() noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

}  // namespace ropeway::soak
