// SPDX-License-Identifier: Apache-2.0
//
// The dispatcher without its event type: publishers, subscriptions, resident workers, wake-up, flip
// and stop. Users meet it as dispatcher<E>. Kept alive by its dispatcher and by every running
// worker, so a handler that never returns outlives a stop without touching freed memory.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway/consumer/failure_sink.hpp>
#include <ropeway/consumer/stats.hpp>
#include <ropeway/dispatcher/executor.hpp>
#include <ropeway/dispatcher/params.hpp>
#include <ropeway/dispatcher/publisher_core.hpp>
#include <ropeway/dispatcher/report.hpp>
#include <ropeway/dispatcher/subscription_core.hpp>
#include <ropeway/dispatcher/threading.hpp>
#include <ropeway/pool/recycler.hpp>
#include <ropeway/pool/slot_pool.hpp>
#include <ropeway/pool/tick_clock.hpp>

namespace ropeway {
struct intake_params;
}

namespace ropeway::detail {

/// How deep the calling thread is inside handlers; publish never waits there.
[[nodiscard]] std::uint32_t& handler_depth() noexcept;

/// On whose behalf the calling thread's handler may retain events.
struct retainer {
    engine* owner = nullptr;
    std::uint16_t site = 0;
};
[[nodiscard]] retainer& retaining() noexcept;

class failure_queue;
class intake_core;
class mask_table;
struct loss_watch;
class supervisor;
class worker_seat;
struct worker_group;

/// Groups of workers, own threads of subscriptions included: bits of `asleep`.
inline constexpr std::uint32_t max_groups = 64;

class engine : public std::enable_shared_from_this<engine> {
  public:
    engine(dispatcher_params params, slab_ops ops, std::size_t slot_size, build_tag tag = {});
    engine(const engine&) = delete;
    engine& operator=(const engine&) = delete;
    ~engine();

    // Registration; any thread, serialised by a lock that no event path takes.
    void add_intake(std::unique_ptr<intake_core> made);
    [[nodiscard]] slot_pool_params intake_pool(std::string_view name,
                                               const intake_params& params) const;
    publisher_core& add_publisher(std::string_view name, const publisher_params& params);
    subscription_core& add_subscription(std::string_view name, overflow policy,
                                        subscription_params params, consumer_face face,
                                        const std::vector<subscription_core*>& after);
    /// Changes whom it comes after. Throws std::invalid_argument for a cycle, naming its path.
    void set_after(subscription_core& sub, const std::vector<subscription_core*>& others);
    /// After add_subscription(), without a lock: an inline one runs what it would miss.
    void joined(const subscription_core& sub) noexcept;
    /// Ends a subscription: see subscription::unsubscribe().
    unsubscribe_report remove_subscription(subscription_core& sub, leaving how,
                                           std::chrono::nanoseconds deadline) noexcept;
    change_status set_interest(subscription_core& sub, kind_set kinds,
                               std::vector<std::uint32_t> instruments,
                               std::chrono::nanoseconds deadline);
    change_status set_policy(subscription_core& sub, overflow policy,
                             std::chrono::nanoseconds deadline);

    void start();
    stop_report stop(std::chrono::nanoseconds deadline) noexcept;

    // The event path.
    void wake() noexcept {
        // Between our tail and the look at asleep. Pairs with out_of_count(): either that worker's
        // second look sees our tail, or we see its group asleep and wake it. Without it an event
        // could lie until the next publish. Where the system has a barrier for all threads, the
        // worker that leaves executes it for us, and here the compiler alone must keep the order.
        if (fence_at_wake_) [[unlikely]] {
            std::atomic_thread_fence(std::memory_order_seq_cst);
        } else {
            std::atomic_signal_fence(std::memory_order_seq_cst);
        }
        // Relaxed: ordered by the fence; wake_group() decides.
        if (asleep_.load(std::memory_order_relaxed) != 0) {
            wake_slow();
        }
    }
    /// After a commit, outside of the publisher: runs the handlers of inline subscriptions.
    void serve_inline() noexcept {
        // Relaxed: who joins meanwhile looks at the rings himself; see add_subscription().
        if (inline_.load(std::memory_order_relaxed) != 0) [[unlikely]] {
            static_cast<void>(serve_inline(nullptr, nullptr));
        }
    }
    /// The same on a worker of the first group, soon: for who changed what inline subscriptions
    /// wait for where it must not run handlers.
    void serve_inline_later() noexcept;
    /// One slice of some subscription with short handlers, on a publisher that waits; false when
    /// there was none.
    bool help() noexcept;
    /// In every group one more worker, if something is ready and fewer run than may: for a
    /// publisher that waits.
    void ramp() noexcept;
    /// The same in one group, but `served` keeps its own.
    void ramp_in(std::uint32_t group, const subscription_core* served) noexcept;
    void hint_critical() noexcept {
        // Release pairs with the acquire in serve(): a worker that sees the hint sees the tail.
        critical_hint_.fetch_add(1, std::memory_order_release);
        note_change();
    }
    /// Something that a worker asks about between two handlers is not as it was: the version, a
    /// minimum, whether a subscription ends, whether critical events wait. One word for all, so
    /// that a delivery polls one.
    void note_change() noexcept {
        // Release pairs with changes(): what changed is visible.
        changes_.fetch_add(1, std::memory_order_release);
    }
    [[nodiscard]] std::uint64_t changes() const noexcept {
        return changes_.load(std::memory_order_acquire);  // pairs with note_change()
    }
    [[nodiscard]] bool critical_waits(std::uint64_t seen) const noexcept {
        // Relaxed: a hint only; the tail is read with acquire afterwards.
        return critical_hint_.load(std::memory_order_relaxed) != seen;
    }
    [[nodiscard]] bool wanted(std::uint32_t kind) const noexcept {
        // Relaxed: a subscription that joins meanwhile starts at a later sequence.
        return (wanted_.load(std::memory_order_relaxed) & kind_set::bit(kind)) != 0;
    }
    /// Null: no subscription ever named instruments.
    [[nodiscard]] const mask_table* masks() const noexcept {
        return masks_.load(std::memory_order_acquire);  // pairs with renew_masks()
    }
    [[nodiscard]] std::uint64_t version() const noexcept {
        // Acquire pairs with flip(): what was done before the flip is visible to who sees it.
        return version_.load(std::memory_order_acquire);
    }
    [[nodiscard]] const atomic<std::uint64_t>& version_source() const noexcept { return version_; }
    /// Called by stop() for each critical event that a subscription wanted and did not get.
    using undelivered_callback = std::function<void(std::string_view, const void*)>;
    void set_undelivered(undelivered_callback callback) {
        const std::lock_guard lock{registry_};
        undelivered_ = std::move(callback);
    }
    /// Raises the routing version by one (or to `to`, if that is higher); returns the new one.
    std::uint64_t flip(std::uint64_t to = 0) noexcept;
    flip_report flip_and_wait(std::chrono::nanoseconds deadline);

    [[nodiscard]] std::uint64_t live() const noexcept {
        // Acquire pairs with add_subscription(): the blocks of a live one are filled.
        return live_.load(std::memory_order_acquire);
    }
    [[nodiscard]] subscription_core& subscription(std::uint32_t number) noexcept {
        return subscriptions_[number];
    }
    /// The same, after a load of a tail with seq_cst: see alone().
    [[nodiscard]] std::uint64_t live_in_order() const noexcept {
        return live_.load(std::memory_order_seq_cst);
    }
    [[nodiscard]] slot_pool& duplicates() noexcept { return *duplicates_; }
    [[nodiscard]] const slot_pool& duplicates() const noexcept { return *duplicates_; }
    /// Events that rescues took out of their rings.
    [[nodiscard]] slot_pool& kept() noexcept { return *kept_; }
    [[nodiscard]] const slot_pool& kept() const noexcept { return *kept_; }
    /// Sequences of the oldest and the newest event that a conflated one stands for.
    struct kept_span {
        std::uint64_t oldest = 0;
        std::uint64_t newest = 0;
    };
    // Relaxed throughout: handed over with the slot.
    [[nodiscard]] kept_span kept_span_of(std::uint32_t slot) const noexcept {
        return {kept_spans_[slot].oldest.load(std::memory_order_relaxed),
                kept_spans_[slot].newest.load(std::memory_order_relaxed)};
    }
    void begin_kept_span(std::uint32_t slot, std::uint64_t sequence) noexcept {
        kept_spans_[slot].oldest.store(sequence, std::memory_order_relaxed);
    }
    void extend_kept_span(std::uint32_t slot, std::uint64_t sequence) noexcept {
        kept_spans_[slot].newest.store(sequence, std::memory_order_relaxed);
    }
    // Slots of kept events that conflation holds: at most half of them, so that critical events
    // always find one. Relaxed: a bound, not an order.
    [[nodiscard]] bool may_conflate_one_more() const noexcept {
        return conflated_slots_.load(std::memory_order_relaxed) < kept_->capacity() / 2;
    }
    void conflated_out() noexcept { conflated_slots_.fetch_add(1, std::memory_order_relaxed); }
    void conflated_back(std::uint32_t n) noexcept {
        conflated_slots_.fetch_sub(n, std::memory_order_relaxed);
    }
    /// A rescue, or a critical event that nobody wants: the supervisor has something to look at.
    void something_to_tell() noexcept;
    [[nodiscard]] std::uint64_t critical_hint() const noexcept {
        return critical_hint_.load(std::memory_order_acquire);  // pairs with hint_critical()
    }
    /// False: the subscription ended, or was disconnected, and will say nothing of this event.
    [[nodiscard]] bool still_takes(const publisher_core& from, ring_class c, std::uint32_t number,
                                   std::uint64_t sequence) noexcept;
    /// Before which sequence of a publisher a subscription that drains takes events.
    [[nodiscard]] static std::uint64_t end_for(const subscription_core& sub,
                                               const publisher_core& from) noexcept {
        // Acquire pairs with drain_out(): the cuts are written.
        return sub.draining.load(std::memory_order_acquire) == subscription_core::flows
                   ? ~std::uint64_t{0}
                   : sub.drain_cut[from.number_] + 1;
    }
    /// The subscription, which the caller holds, went into quarantine.
    void quarantined(subscription_core& sub) noexcept;
    [[nodiscard]] recycler& returns() noexcept { return *recycler_; }
    [[nodiscard]] failure_sink& failures() noexcept;
    std::size_t drain_failures(std::span<failure_record> out) noexcept;
    [[nodiscard]] dispatcher_stats stats() const;
    [[nodiscard]] subscription_stats stats_of(const subscription_core& sub) const;
    [[nodiscard]] std::vector<memory_use> memory() const;
    [[nodiscard]] const dispatcher_params& params() const noexcept { return params_; }
    [[nodiscard]] bool stopping() const noexcept {
        return stopping_.load(std::memory_order_acquire) != 0;  // pairs with stop()'s store
    }
    [[nodiscard]] std::uint32_t workers() const noexcept { return workers_; }
    /// Fills one place per live subscription; never waits, never allocates.
    std::size_t snapshot(std::span<subscription_counters> out) const noexcept;
    [[nodiscard]] fanout_stats fanout() const noexcept;
    [[nodiscard]] unsigned group_count() const noexcept {
        return group_count_.load(std::memory_order_acquire);  // pairs with add_group()
    }
    [[nodiscard]] static constexpr std::uint64_t bit_of(std::uint32_t number) noexcept {
        return std::uint64_t{1} << number;
    }
    void set_guard(guard_level level) noexcept;
    void warm_up(const memory_params& how);

  private:
    /// How slots are stored, whatever they are for; `of` ends their name.
    [[nodiscard]] slab_params storage(const std::string& of, std::uint32_t slots,
                                      guard_level guard) const;
    void make_kept();
    bool pump_intakes() noexcept;
    void close_intakes(std::chrono::steady_clock::time_point until) noexcept;
    void collect_intakes(stop_report& report, const undelivered_callback& tell) noexcept;
    void start_workers();
    // Groups and workers; see worker_group.cpp.
    worker_group& add_group(worker_params params, unsigned workers, bool own = false);
    worker_group& own_group(std::string_view name, const subscription_params& params);
    void begin_own(worker_group& group);
    void retire(subscription_core& sub) noexcept;
    [[nodiscard]] bool end_retired(worker_group& group) noexcept;
    bool serve_inline(worker_group* group, worker_seat* seat) noexcept;
    /// How a turn of an inline subscription went, for whoever holds it and looks again after.
    enum class inline_turn : std::uint8_t {
        worked,
        waited,   ///< nothing was done; another look may find more
        drained,  ///< nothing was done; drain_out() looks again
        starved,  ///< nothing could be done without a slot
    };
    inline_turn serve_now(subscription_core& sub) noexcept;
    void look_again(subscription_core& sub) noexcept;
    [[nodiscard]] std::uint32_t group_named(std::string_view name) const;
    static void run_worker(void* group) noexcept;
    /// Serves until there is nothing left; false: a replacement has taken its place.
    [[nodiscard]] bool work(worker_group& group, worker_seat& seat) noexcept;
    enum class look : std::uint8_t { nothing, something, written_off };
    /// What a worker knows of the rings during a look.
    struct views {
        tail_views& tails;
        mask_windows* masks;     ///< null: one subscription alone is served
        std::uint32_t turn = 0;  ///< which publisher goes first
        /// Bits of subscriptions of which one, served together with the others, took long: turns of
        /// their own tell which.
        std::uint64_t suspects = 0;
        std::uint64_t* shown = nullptr;  ///< gets the bits of those served together
        // Where to begin to serve together; null: where the first subscription stands.
        publisher_core* rear = nullptr;
        std::uint64_t rear_at = 0;
    };
    /// One turn for each subscription that has something. `now`: the clock, read just before.
    look look_once(worker_group& group, worker_seat& seat, const views& seen,
                   std::uint64_t now) noexcept;
    /// What the subscriptions that a worker serves together leave to turns of their own.
    struct served_together {
        std::uint64_t left = 0;  ///< bits of those that need one
        std::uint32_t turns = 0;
        std::uint32_t done = 0;     ///< events
        bool more = false;          ///< another call may find more
        bool changed = false;       ///< it ended because changes() moved
        std::uint64_t taken = 0;    ///< bits of those that were taken, and let go
        std::uint64_t changes = 0;  ///< changes() before it
        // Those of `left` that stood behind what was shown, and where the rearmost does.
        publisher_core* from = nullptr;
        std::uint64_t rear = 0;
        std::uint64_t rear_at = 0;
        bool written_off = false;
    };
    /// For whoever holds it: runs the handlers; false when a turn of its own is needed.
    [[nodiscard]] bool show_to(subscription_core& sub, shared_range& range, std::uint64_t at,
                               served_together& out) noexcept;
    /// Ends those of the subscriptions, let go before, that were marked to be ended.
    void end_marked(std::uint64_t subs) noexcept;
    /// After a turn of its own: whether the next ones may be together with others.
    void note_if_together(subscription_core& sub, std::uint64_t slice_ticks) noexcept;
    /// Shows what one publisher has published to all of `members` that stand before it and need no
    /// more than that. A publishing thread has no group and no seat.
    served_together serve_together(worker_group* group, worker_seat* seat, const views& seen,
                                   std::uint64_t members, std::uint64_t now) noexcept;
    /// Nothing was published since the last look, as far as its views tell.
    [[nodiscard]] bool nothing_new(const tail_views& tails) const noexcept;
    bool leave(worker_group& group) noexcept;
    [[nodiscard]] bool any_ready(const worker_group& group, const subscription_core* but) noexcept;
    /// The same, or it is to serve inline subscriptions: before a worker leaves the count.
    [[nodiscard]] bool anything_left(const worker_group& group,
                                     const subscription_core* but) noexcept;
    /// Whether a worker of that group is to serve inline subscriptions.
    [[nodiscard]] bool inline_left(const worker_group& group) const noexcept;
    [[nodiscard]] bool ready(subscription_core& sub) noexcept;
    [[nodiscard]] bool ready(subscription_core& sub, tail_views& tails) noexcept;
    /// True when a ring, or what a rescue has just kept, holds something that it may take.
    [[nodiscard]] bool any_for(const subscription_core& sub, tail_views& tails) const noexcept;
    /// The same of one ring, whoever it waits for. A look: a rescue at work shows nothing.
    [[nodiscard]] static bool holds_any(const subscription_core& sub, const publisher_core& from,
                                        ring_class c, tail_views& tails) noexcept;
    /// Brings the coarse clock up to date, once in a while.
    void note_time(std::uint64_t now) noexcept;
    /// For whoever holds it: it has handled all there is.
    [[nodiscard]] bool has_nothing(const subscription_core& sub) const noexcept;
    /// One turn of a subscription; `now` is the clock at its begin, and then at its end.
    std::uint32_t serve(worker_group& group, subscription_core& sub, const views& seen,
                        std::uint64_t& now) noexcept;
    [[nodiscard]] bool step_out(worker_group& group,
                                const subscription_core& about_to_serve) noexcept;
    void wake_slow() noexcept;
    void wake_group(worker_group& group) noexcept;
    void out_of_count(worker_group& group) noexcept;
    void submit(worker_group& group) noexcept;
    [[nodiscard]] bool job_over(worker_group& group) noexcept;
    [[nodiscard]] bool may_start_another(const worker_group& group) const noexcept;
    void ramp_group(worker_group& group, const subscription_core* served) noexcept;
    void allow_one_more(worker_group& group) noexcept;
    void written_off_returns(worker_group& group) noexcept;
    [[nodiscard]] bool anything_runs() const noexcept;

    // The supervising thread.
    [[nodiscard]] std::chrono::steady_clock::time_point supervise() noexcept;
    void watch(worker_group& group, worker_seat& seat, std::uint64_t now) noexcept;
    [[nodiscard]] bool replace(worker_group& group, worker_seat& seat, std::uint64_t word) noexcept;
    void tell(const alert& what) noexcept;
    bool tell_losses() noexcept;
    void look_for_loss(const publisher_core& from) noexcept;

    std::uint32_t serve_round(subscription_core& sub, serve_context& context) noexcept;
    void let_go(subscription_core& sub) noexcept;
    void prepare_cursor(publisher_core& from, const subscription_core& sub) noexcept;
    void join_cursors(subscription_core& sub) noexcept;
    /// Recycles what waits for its handler; returns how many conflated events outside of its inbox
    /// that were; of one that drains only those that stand for an event before its cut.
    std::uint64_t discard_all(subscription_core& sub) noexcept;
    void close_cursors(subscription_core& sub) noexcept;
    void finish_removal(subscription_core& sub) noexcept;
    bool end_if_idle(subscription_core& sub, unsubscribe_report* report = nullptr) noexcept;
    void leave_to_worker(subscription_core& sub) noexcept;
    void refresh_wanted() noexcept;
    /// A table for all live subscriptions and one that joins, or has another interest now. Returns
    /// when every event that was stamped with the table before is committed.
    void renew_masks(std::uint32_t number, const interest* wanted);
    [[nodiscard]] std::span<const std::unique_ptr<publisher_core>> publishers() const noexcept;
    [[nodiscard]] std::uint32_t vacant_number() const;
    /// Events of a ring that it has not taken; raises `oldest` to how long the first of them waits
    /// (ticks), unless `now` is 0.
    [[nodiscard]] std::uint64_t lag_in(const publisher_core& from, std::uint32_t number,
                                       ring_class c, std::uint64_t now,
                                       std::uint64_t& oldest) const noexcept;
    [[nodiscard]] std::uint64_t lag_of(const subscription_core& sub, ring_class c) const noexcept;
    void serve_class(subscription_core& sub, ring_class c, serve_context& context,
                     std::uint32_t& done) noexcept;
    void serve_in_sequence(subscription_core& sub, serve_context& context,
                           std::uint32_t& done) noexcept;
    void end_market_data(subscription_core& sub) noexcept;
    std::uint64_t close_cursor(cursor_block& block) noexcept;
    static void wait_out_rescue(cursor_block& block) noexcept;
    void acknowledge(subscription_core& sub) noexcept {
        // Release: as for every handler; nobody's runs now.
        // seq_cst: in one order with flip() and the taking of the subscription.
        sub.acknowledged.store(version_.load(std::memory_order_seq_cst), std::memory_order_release);
    }
    /// Before which sequence of a ring a subscription takes events: those it comes after have
    /// handled all that is older.
    [[nodiscard]] std::uint64_t handled_by_others(const subscription_core& sub,
                                                  const publisher_core& from,
                                                  ring_class c) const noexcept {
        std::uint64_t before = ~std::uint64_t{0};
        // Relaxed: who is followed from now on has not handled anything yet, as far as we know.
        for (std::uint64_t left = sub.after.load(std::memory_order_relaxed); left != 0;
             left &= left - 1) {
            const auto number = static_cast<std::uint32_t>(std::countr_zero(left));
            // Acquire pairs with announce(): what those handlers did is visible.
            before = std::min(before, from.rings[index_of(c)].cursors[number].handled.load(
                                          std::memory_order_acquire));
        }
        return before;
    }
    /// True when what comes next of a ring, kept events included, is not for it yet. A look only.
    [[nodiscard]] bool waits_for_others(const subscription_core& sub, const publisher_core& from,
                                        ring_class c) const noexcept {
        return sub.after.load(std::memory_order_relaxed) != 0 &&  // relaxed: a look
               first_waits_for_others(sub, from, c);
    }
    [[nodiscard]] bool first_waits_for_others(const subscription_core& sub,
                                              const publisher_core& from,
                                              ring_class c) const noexcept;
    void announce(subscription_core& sub) noexcept;
    void follow(subscription_core& sub, const std::vector<subscription_core*>& others);
    [[nodiscard]] std::string path_between(const subscription_core& from,
                                           const subscription_core& to) const;
    void call_timer(subscription_core& sub) noexcept;
    [[nodiscard]] bool stays_in_quarantine(subscription_core& sub) noexcept;
    void pass_over_market_data(subscription_core& sub) noexcept;
    [[nodiscard]] bool market_data_waits(const subscription_core& sub) const noexcept;
    void call_idle(subscription_core& sub) noexcept;
    [[nodiscard]] std::uint64_t set_off_timers(std::uint64_t now) noexcept;
    [[nodiscard]] bool drain_out(subscription_core& sub,
                                 std::chrono::steady_clock::time_point until) noexcept;
    void look_if_drained(subscription_core& sub) noexcept;
    [[nodiscard]] bool drained_of(subscription_core& sub, publisher_core& from) noexcept;
    void abandon(subscription_core& sub, unsubscribe_report& report) noexcept;
    /// What a publisher's rescue has in hand: waited for, or left for another turn.
    enum class in_rescue : std::uint8_t { waits, leaves };
    template <class See>
    void pass_rest(subscription_core& sub, publisher_core& from, ring_class c, in_rescue what,
                   See&& see) noexcept;
    template <class Change>
    change_status change(subscription_core& sub, std::chrono::nanoseconds deadline, Change&& make);
    template <class See>
    void for_each_cursor(const subscription_core& sub, See&& see) noexcept {
        for (const auto& from : publishers()) {
            for (const ring& places : from->rings) {
                see(places.cursors[sub.number]);
            }
        }
    }
    void count_rest(subscription_core& sub, unsubscribe_report& report) noexcept;
    [[nodiscard]] bool take_over(subscription_core& sub,
                                 std::chrono::nanoseconds deadline) noexcept;
    void hand_back(subscription_core& sub) noexcept;
    static void check_conflatable(std::string_view name, overflow policy, kind_set kinds,
                                  const consumer_face& face);
    [[nodiscard]] bool kept_for(const subscription_core& sub) const noexcept;
    [[nodiscard]] bool all_taken() const noexcept;
    void close_publishers(std::chrono::steady_clock::time_point until) noexcept;
    void drain(stop_report& report, std::chrono::steady_clock::time_point until) noexcept;
    void collect(stop_report& report, const undelivered_callback& tell) noexcept;
    void collect_from(subscription_core& sub, stop_report& report,
                      const undelivered_callback& tell) noexcept;
    template <class See>
    void for_each_left(const subscription_core& sub, ring_class c, See&& see) const noexcept;

    // Read by everyone, written at flips, at critical publishes and on the idle edge: a block each.
    alignas(cache_block) atomic<std::uint64_t> version_{0};
    alignas(cache_block) atomic<std::uint64_t> changes_{0};  ///< see note_change()
    atomic<std::uint64_t> critical_hint_{0};
    /// Groups of which nobody counts as awake, a bit each; see worker_group.cpp.
    alignas(cache_block) atomic<std::uint64_t> asleep_{0};
    atomic<std::uint64_t> inline_{0};       ///< inline subscriptions, a bit each
    atomic<std::uint64_t> timers_{0};       ///< those with a timer
    atomic<std::uint64_t> quarantined_{0};  ///< those in quarantine

    // Rarely written.
    alignas(cache_block) atomic<std::uint32_t> inline_left_{0};  ///< see serve_inline_later()
    alignas(cache_block) atomic<std::uint32_t> conflated_slots_{0};
    atomic<std::uint64_t> to_tell_{0};           ///< counts something_to_tell()
    atomic<std::uint64_t> coarse_clock_due_{0};  ///< ticks; see note_time()
    alignas(cache_block) atomic<std::uint64_t> live_{0};
    atomic<std::uint64_t> taken_numbers_{0};  ///< subscription blocks in use
    atomic<std::uint32_t> wanted_{0};
    atomic<const mask_table*> masks_{nullptr};
    atomic<std::uint32_t> publisher_count_{0};
    atomic<std::uint32_t> started_{0};
    atomic<std::uint32_t> stopping_{0};
    atomic<std::uint32_t> gave_up_{0};  ///< stop() left a worker behind
    atomic<std::uint32_t> stopper_{0};  ///< thread number + 1 of who is inside stop()

    // Constant after construction.
    alignas(cache_block) dispatcher_params params_;
    slab_ops ops_;
    std::size_t slot_size_ = 0;
    unsigned workers_ = 1;       ///< of all groups
    bool fence_at_wake_ = true;  ///< the system has no barrier for all threads
    std::array<std::unique_ptr<worker_group>, max_groups> groups_;
    atomic<std::uint32_t> group_count_{0};
    std::unique_ptr<supervisor> supervisor_;
    counter_cell alerts_;  ///< the supervisor's
    std::unique_ptr<subscription_core[]> subscriptions_;
    std::array<std::unique_ptr<publisher_core>, max_live_publishers> publishers_;
    std::array<std::unique_ptr<intake_core>, max_live_publishers> intakes_;
    atomic<std::uint32_t> intake_count_{0};
    std::unique_ptr<slot_pool> duplicates_;
    std::unique_ptr<slot_pool> kept_;
    struct kept_span_cell {
        atomic<std::uint64_t> oldest{0};
        atomic<std::uint64_t> newest{0};
    };
    std::unique_ptr<kept_span_cell[]> kept_spans_;
    std::unique_ptr<loss_watch> losses_;  ///< the supervisor's
    std::unique_ptr<recycler> recycler_ = std::make_unique<recycler>();
    std::unique_ptr<failure_queue> failures_;
    mutex stop_;              ///< one stop() at a time
    mutable mutex registry_;  ///< guards registration and removal; no handler runs in it
    mutable mutex faces_;     ///< keeps a live consumer from ending while it is read
    undelivered_callback undelivered_{};  ///< guarded by registry_
    bool stopped_ = false;                ///< guarded by registry_
    stop_report last_report_{};           ///< guarded by registry_
};

inline std::uint64_t publisher_core::commit(bool any_critical) noexcept {
    if (planted(planted_bug::wake_before_tail)) {
        owner_->wake();
    }
    // Release pairs with the workers' acquire load: slots and entries up to here are visible.
    tail.store(tail_word::of(position_[0], position_[1]), std::memory_order_release);
    if (stamping_.load(std::memory_order_relaxed) != 0) [[unlikely]] {  // relaxed: our own
        stamping_.store(0, std::memory_order_release);                  // pairs with stamping()
    }
    if (any_critical) {
        owner_->hint_critical();
    }
    if (!planted(planted_bug::wake_before_tail)) {
        owner_->wake();
    }
    return sequence();
}

template <ring_class c>
std::uint64_t publisher_core::put_next(claimed_slot slot, std::uint32_t kind,
                                       std::uint32_t instrument) noexcept {
    constexpr std::size_t r = index_of(c);
    const std::uint64_t at = position_[r];
    if (at >= limit_[r] || !owner_->wanted(kind)) [[unlikely]] {
        return 0;
    }
    if (owner_->masks() != nullptr) [[unlikely]] {
        stamp_mask(c, kind, instrument);
    }
    if (const std::uint32_t there = entry(c, at); there != slot.index) [[unlikely]] {
        displace(c, there, slot.index);
    }
    const std::uint64_t sequence = position_[0] + position_[1] + 1;
    // Published by commit()'s release store, like the payload.
    slots_.stamp({slot.index, slot.generation}, sequence);
    if (fanout_sample::is_sampled(sequence)) [[unlikely]] {
        open_sample(sequence);
    }
    position_[r] = at + 1;
    claims_out_.set(claims_out_.get() - 1);
    published_[kind_index(kind)].add(1);
    return commit(c == ring_class::critical);
}

}  // namespace ropeway::detail
