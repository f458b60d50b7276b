// SPDX-License-Identifier: Apache-2.0
//
// One subscription as the engine sees it: who serves it, how, and what waits in its inbox. Fixed
// blocks, reused, never freed before the engine. `owned` is the right to serve: whoever takes it
// holds everything marked "guarded by owned".
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ropeway/consumer/stats.hpp>
#include <ropeway/dispatcher/params.hpp>
#include <ropeway/dispatcher/ring.hpp>
#include <ropeway/dispatcher/threading.hpp>
#include <ropeway/pool/histogram.hpp>
#include <ropeway/pool/slot.hpp>

namespace ropeway {
class slot_pool;
}

namespace ropeway::detail {

class engine;
class mask_windows;
struct publisher_core;
struct subscription_core;

/// Where the events of a batch lie, and thus what ends with it.
enum class held_in : std::uint8_t {
    duplicates,  ///< slots of the pool of duplicates: recycled
    kept,        ///< slots of the pool of kept events: recycled
    ring,        ///< the ring's own: the pin is taken off
};

/// A batch of events of one publisher and ring that wait for their handler.
struct inbox {
    std::array<slot_ref, batch_size> refs{};
    std::array<void*, batch_size> events{};
    std::array<std::uint64_t, batch_size> sequences{};
    std::uint32_t head = 0;
    std::uint32_t count = 0;
    std::uint32_t lag = 0;
    held_in where = held_in::duplicates;
    std::uint64_t lost_before = 0;       ///< told with the event at head, once
    std::uint64_t conflated_before = 0;  ///< as above
    publisher_core* from = nullptr;
    [[nodiscard]] bool empty() const noexcept { return head == count; }
};

/// Where the publishers' tails were when the holder read them last, for one look over its
/// subscriptions at most. A publisher must fetch the line of its tail back after each reader, so
/// that a reader asks once and serves everybody from the answer. A view is older than what it is
/// held against, never by 2^31 events. On the stack of its only user.
class tail_views {
  public:
    [[nodiscard]] std::uint64_t of(const publisher_core& from) noexcept;
    void forget() noexcept { known_ = 0; }
    /// True when that publisher's tail is where it was seen last.
    [[nodiscard]] bool unmoved(const publisher_core& from) const noexcept;
    /// Critical events were published, as the hint says, since the last call: they are to be seen.
    void forget_before(std::uint64_t critical_hint) noexcept {
        if (critical_hint != critical_seen_) {
            critical_seen_ = critical_hint;
            forget();
        }
    }

  private:
    std::uint64_t known_ = 0;  ///< a bit each
    std::uint64_t critical_seen_ = 0;
    std::array<std::uint64_t, max_live_publishers> words_;
};

/// What a worker carries through one time slice.
struct serve_context {
    engine* owner = nullptr;
    tail_views* tails = nullptr;
    mask_windows* masks = nullptr;    ///< null: none are kept
    std::uint64_t slice_ticks = 0;    ///< length of a slice
    std::uint64_t slice_end = 0;      ///< ticks
    std::uint64_t now = 0;            ///< ticks, when the clock was looked at last
    std::uint64_t critical_seen = 0;  ///< value of the critical hint when critical was last served
    /// Only events with a lower sequence are taken, of the ring and of the backlog.
    std::uint64_t before = ~std::uint64_t{0};
    /// Likewise of conflated ones. Not the cut of a drain: behind it are only those that stand for
    /// one before it.
    std::uint64_t conflated_before = ~std::uint64_t{0};
    bool slice_over = false;
    bool starved = false;  ///< no slot for a duplicate was free
    bool more = false;     ///< a ring held more than this round took
};

/// Serves one batch of one ring; returns how many events were finished.
using serve_fn = std::uint32_t (*)(subscription_core&, publisher_core&, ring_class, serve_context&);

/// What a worker shows to several subscriptions in a row; see serve_together.cpp.
struct shared_range;
/// Runs the handlers of a shared range from an offset on, and moves the cursor to where it stopped:
/// its end, unless something takes a turn of the subscription's own.
struct shown {
    std::uint32_t upto = 0;
    bool failed = false;  ///< the last handler threw
};
using show_fn = shown (*)(subscription_core&, shared_range&, std::uint32_t at);

/// The type-erased consumer behind a subscription.
struct consumer_face {
    void* object = nullptr;
    serve_fn serve = nullptr;
    show_fn show = nullptr;  ///< null: it takes turns of its own only
    void (*discard)(subscription_core&, engine&, ring_class) noexcept = nullptr;
    consumer_stats (*stats)(const void*) noexcept = nullptr;
    void (*update_min_version)(void*, std::uint64_t) noexcept = nullptr;
    bool (*wants)(const subscription_core&, const void* event) noexcept = nullptr;
    void (*recycle)(engine&, slot_pool&, slot_ref) noexcept = nullptr;
    void (*copy)(void* to, const void* from) noexcept = nullptr;
    void (*use_cells)(void*, consumer_cells&) noexcept = nullptr;
    bool (*critical)(std::uint32_t kind) noexcept = nullptr;
    bool (*conflatable)(std::uint32_t kind) noexcept = nullptr;
    std::uint64_t (*conflation_key)(const void*) noexcept = nullptr;
    void (*fold)(void* older, const void* newer) noexcept = nullptr;
    void (*destroy)(void*) noexcept = nullptr;
    // Null unless the handler has them.
    void (*idle)(void*) noexcept = nullptr;
    void (*timer)(void*) noexcept = nullptr;
};

/// What a subscription wants. Replaced as a whole, never changed.
struct interest {
    kind_set kinds{};
    std::vector<std::uint32_t> instruments{};  ///< sorted; empty = all
};

struct subscription_core {
    enum owner_state : std::uint32_t { idle = 0, served = 1, dead = 2 };
    /// Who ends it: the thread that waits in unsubscribe() (no worker takes it any more), or, once
    /// marked from inside a handler, the worker that lets it go or takes it next.
    enum closing_state : std::uint32_t { stays = 0, waited_for = 1, marked = 2 };
    /// The version that handlers begun from now on are held to; see flip_and_wait().
    alignas(cache_block) atomic<std::uint64_t> acknowledged{0};

    // Shared, taken by CAS.
    alignas(cache_block) atomic<std::uint32_t> owned{dead};
    /// What of its events lies outside of rings. Written by the holder of owned before it lets go.
    enum pending_state : std::uint32_t {
        nothing = 0,
        can_go_on = 1,
        waits_for_others = 2,  ///< all of it
    };
    atomic<std::uint32_t> pending{nothing};
    /// Set by unsubscribe; whoever holds owned stops serving.
    atomic<std::uint32_t> closing{stays};
    // In this block too, because whoever takes it asks for all of them: what makes its next turn
    // more than handlers.
    enum disconnect_state : std::uint32_t { connected = 0, lapped = 1, disconnected = 2 };
    /// overflow::disconnect. `lapped` by a publisher: whoever serves it next ends all market data.
    atomic<std::uint32_t> market_data{connected};
    /// Asked for, only what was committed up to `drain_cut` is still taken; then nothing more.
    enum drain_state : std::uint32_t { flows = 0, drains = 1, drained = 2 };
    atomic<std::uint32_t> draining{flows};
    /// 1: on_timer() is to be called. Set by the supervisor.
    atomic<std::uint32_t> timer_due{0};
    /// Not 0: somebody comes after it, so that it says how far it is.
    atomic<std::uint32_t> followed{0};
    /// 1: it is to say so even if it has nothing to do.
    atomic<std::uint32_t> to_announce{0};
    /// Not 0: in quarantine until then (ticks). Written by whoever holds it.
    atomic<std::uint64_t> quarantined_until{0};
    /// Bits of the subscriptions that it comes after.
    atomic<std::uint64_t> after{0};
    /// Events that fit into a turn together with others; 0: it takes turns of its own. Written by
    /// whoever holds it.
    atomic<std::uint32_t> together{0};

    // Constant while the subscription lives.
    alignas(cache_block) consumer_face face{};
    atomic<const interest*> interested{nullptr};  ///< see set_interest()
    std::uint32_t number = 0;
    std::uint32_t group = 0;  ///< who serves it; see execution
    delivery_mode delivery = delivery_mode::duplicate;
    execution_mode execution = execution_mode::group;
    event_order order = event_order::critical_first;
    std::uint16_t site = 0;
    std::uint32_t backlog_capacity = 0;
    std::uint32_t conflation_keys = 0;
    std::string name{};
    std::array<std::uint64_t, max_live_publishers>
        drain_cut{};                       ///< sequences; published by draining
    atomic<std::uint64_t> timer_ticks{0};  ///< 0: it has none
    atomic<std::uint64_t> timer_next{0};   ///< ticks; the supervisor's
    /// From these sequences on it sees every event, by publisher. Written when it joins.
    std::array<std::uint64_t, max_live_publishers> first_sequence{};

    // Guarded by owned.
    overflow policy = overflow::block;
    bool was_lossy = false;  ///< now or before: stores may hold events, losses be untold
    alignas(cache_block) std::array<inbox, ring_classes> box{};
    std::uint64_t average_ticks = 0;  ///< of a handler call; 0 = unknown
    /// How many turns it takes together with others until one of its own.
    std::uint32_t turns_together = 0;
    std::uint32_t next_publisher = 0;
    bool kept_left = false;  ///< a store holds events that were taken out of its table
    counter_cell starved;    ///< wanted events that had to do without a slot
    counter_cell slices;
    quarantine_params quarantine{};     ///< constant while it lives
    std::uint32_t failed_in_row = 0;    ///< see note_failure()
    std::uint64_t done_at_failure = 0;  ///< handlers that had returned at the last failure
    counter_cell quarantines;
    counter_cell high_water;  ///< most events committed and not yet taken, of one ring
    consumer_cells cells{};
    histogram_cells latency{};       ///< publish to handler, of sampled events
    histogram_cells handler_time{};  ///< of sampled events
    /// Market data of other publishers that a disconnect left untaken, by kind.
    std::array<counter_cell, max_event_kinds> missed{};

    /// True when a market event's handler waits for critical events that come in meanwhile.
    [[nodiscard]] bool gives_way() const noexcept {
        // Relaxed: a hint; a drain must not wait for critical events behind its cut.
        return order == event_order::critical_first &&
               draining.load(std::memory_order_relaxed) == flows;
    }
    /// For whoever holds it, or the publisher in a rescue.
    [[nodiscard]] const interest& wanted() const noexcept {
        // Acquire pairs with set_interest().
        return *interested.load(std::memory_order_acquire);
    }
    /// True once it is to end: no handler is called any more.
    [[nodiscard]] bool ending() const noexcept {
        // Relaxed: asked by the worker; whoever waits for it synchronises through `owned`.
        return closing.load(std::memory_order_relaxed) != stays;
    }
    /// True when a turn of it is no more than its handlers, as far as a look tells; `pending` says
    /// that nothing waits in an inbox.
    [[nodiscard]] bool needs_no_care() const noexcept {
        // Relaxed: who sets one of them later makes somebody look again.
        return (closing.load(std::memory_order_relaxed) |
                market_data.load(std::memory_order_relaxed) |
                draining.load(std::memory_order_relaxed) | pending.load(std::memory_order_relaxed) |
                timer_due.load(std::memory_order_relaxed) |
                followed.load(std::memory_order_relaxed) |
                to_announce.load(std::memory_order_relaxed) |
                quarantined_until.load(std::memory_order_relaxed) |
                after.load(std::memory_order_relaxed)) == 0;
    }
    /// True when the publisher may move the cursor, so that the worker claims by CAS.
    [[nodiscard]] bool contended(ring_class c) const noexcept {
        return c == ring_class::critical || policy != overflow::block;
    }
};

}  // namespace ropeway::detail
