// SPDX-License-Identifier: Apache-2.0
//
// The publishing side: one thread takes events from its input when they are due and publishes them.
// A quote comes as two pooled partials, bid and offer, that an orchestrator merges into the claim
// and stamps with the routing version; other events are stamped only. It keeps the books of what
// was sent, as results come back. `approx_sent` and `finished` are for any thread, the rest for the
// thread that runs it, then for its joiner.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>

#include <ropeway/dispatcher/publisher.hpp>
#include <ropeway/pool/event_pool.hpp>
#include <ropeway/runtime/orchestrator.hpp>

#include "accounting.hpp"
#include "input.hpp"

namespace ropeway::soak {

struct sender_params {
    std::uint32_t number = 0;
    std::uint64_t limit = ~std::uint64_t{0};  ///< events to send at most
    std::uint32_t packet = 1;                 ///< events committed at once at most, 1..max_packet
    bool keep_a_claim = false;                ///< fault::leaked_slot
    guard_level guard = guard_level::guard;   ///< of the partials
};

class sender {
  public:
    static constexpr std::uint32_t max_packet = 16;

    /// `version` is the dispatcher's, which must outlive the sender.
    sender(publisher<market_event> out, std::unique_ptr<input> from, sender_params params,
           const std::atomic<std::uint64_t>& version);

    /// Publishes until the input or the limit ends or a stop is asked for.
    void run(const std::stop_token& stop);

    [[nodiscard]] std::uint64_t approx_sent() const noexcept { return sent_.get(); }
    [[nodiscard]] bool finished() const noexcept {
        return finished_.load(std::memory_order_acquire);  // pairs with run()'s end: its books
    }

    [[nodiscard]] const published_counts& books() const noexcept { return books_; }
    /// Partials that did not come back; 0 when all is well.
    [[nodiscard]] std::uint64_t partials_out() const { return partials_.stats().outstanding; }
    /// Why it ended early; empty when it did not.
    [[nodiscard]] const std::string& error() const noexcept { return error_; }
    [[nodiscard]] std::int64_t first_ns() const noexcept { return first_ns_; }
    [[nodiscard]] std::int64_t last_ns() const noexcept { return last_ns_; }

  private:
    using packet_array = std::array<claimed<market_event>, max_packet>;

    void publish_all(const std::stop_token& stop);
    [[nodiscard]] bool wait_until(std::int64_t due_ns, const std::stop_token& stop) const;
    [[nodiscard]] bool fill(claimed<market_event>& slot, std::uint32_t ahead);
    [[nodiscard]] bool compose(market_event& into);
    [[nodiscard]] bool send(std::span<claimed<market_event>> packet, const std::stop_token& stop);
    void enter(std::span<const event_kind> kinds);

    publisher<market_event> out_;
    std::unique_ptr<input> from_;
    sender_params params_;
    event_pool<market_event> partials_;
    orchestrator orchestrator_;
    input_event next_{};
    packet_array packet_{};
    std::array<event_kind, max_packet> kinds_{};
    std::array<std::uint64_t, stream_classes> given_{};  ///< counters stamped
    claimed<market_event> kept_{};
    published_counts books_{};
    std::uint64_t sequence_ = 0;
    std::string error_{};
    std::int64_t first_ns_ = 0;
    std::int64_t last_ns_ = 0;
    counter_cell sent_;
    std::atomic<bool> finished_{false};
};

}  // namespace ropeway::soak
