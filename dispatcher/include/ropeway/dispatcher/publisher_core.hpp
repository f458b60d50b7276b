// SPDX-License-Identifier: Apache-2.0
//
// A publisher without its event type: two rings over one slab, claims, commits, and the slow path
// that makes a place free (refresh, rescue, exchange). Owned by the engine, used through
// publisher<E> by one thread at a time; `tail`, cursors and counters are read by others.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway/dispatcher/fanout_sample.hpp>
#include <ropeway/dispatcher/publish_result.hpp>
#include <ropeway/dispatcher/report.hpp>
#include <ropeway/dispatcher/rescue_store.hpp>
#include <ropeway/dispatcher/ring.hpp>
#include <ropeway/dispatcher/subscription_core.hpp>
#include <ropeway/dispatcher/threading.hpp>
#include <ropeway/pool/histogram.hpp>
#include <ropeway/pool/slab.hpp>
#include <ropeway/pool/thread_number.hpp>

namespace ropeway {

/// The subscription that is furthest behind a publisher.
struct slowest_subscription {
    std::string_view name{};  ///< empty: no subscription lives. Valid for ever.
    std::uint64_t lag = 0;    ///< committed market data that it has not taken
};

}  // namespace ropeway

namespace ropeway::detail {

class engine;

/// How long a packet may wait in all; the clock is read at its first wait.
struct wait_budget {
    std::chrono::nanoseconds deadline{};
    std::chrono::steady_clock::time_point until{};
};

/// Where a claim is between claim and publish.
struct claimed_slot {
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
};

struct publisher_core {
    using clock = steady_clock;

    publisher_core(engine& owner, std::uint32_t number, std::string name,
                   const publisher_params& params, slab_params slots);
    publisher_core(const publisher_core&) = delete;
    publisher_core& operator=(const publisher_core&) = delete;
    ~publisher_core() = default;

    // --- the publisher's thread -------------------------------------------------------------
    //
    // Inline is what each event takes: a publisher's rate is set by how many stores an event costs
    // it and by how often they change between cache lines.

    /// A claim's usual case, whole: the next place of the market ring, at guard levels up to
    /// `guard`. False: nothing was taken, claim() knows.
    [[nodiscard]] bool claim_next(claimed_slot& out) noexcept {
        if (!enter_quickly()) [[unlikely]] {
            return false;
        }
        const std::uint64_t others = claims_out_.get();
        const std::uint64_t at = others == 0 ? position_[0] : claim_next_;
        bool found = false;
        if (at >= position_[0] && at < limit_[0]) [[likely]] {
            const std::uint32_t index = entry(ring_class::market, at);
            fetch_ahead(at);
            std::uint32_t& generation = generation_[index];
            if (marks_[index] == 0 && slots_.renewable({index, generation})) [[likely]] {
                out = {index, ++generation};
                claim_next_ = at + 1;
                claims_out_.set(others + 1);
                found = true;
            }
        }
        leave_quickly();
        return found;
    }
    /// Takes a slot for the user; false when none is free. Inside only.
    [[nodiscard]] bool claim(claimed_slot& out) noexcept;
    /// A claim that was not published comes back.
    void abandon(claimed_slot slot) noexcept;
    /// A publish's usual case, whole, between enter_quickly() and leave_quickly(): the next place
    /// of the ring is free. Returns the sequence; 0: nothing was done, publish_n() knows.
    template <ring_class c>
    [[nodiscard]] std::uint64_t put_next(claimed_slot slot, std::uint32_t kind,
                                         std::uint32_t instrument) noexcept;
    /// True when the next place of the ring is known to be free.
    [[nodiscard]] bool has_room(ring_class c) const noexcept {
        return position_[index_of(c)] < limit_[index_of(c)] && !eager_;
    }
    /// The same, but makes room, waiting as long as the budget says.
    [[nodiscard]] bool reserve(ring_class c, wait_budget& budget, publish_result& why) noexcept {
        return has_room(c) || make_free(c, budget, why);
    }
    /// Puts a claimed slot into the next place of the ring; `commit` makes it visible.
    void place(ring_class c, claimed_slot slot, std::uint32_t kind) noexcept {
        const std::size_t r = index_of(c);
        if (const std::uint32_t there = entry(c, position_[r]); there != slot.index) [[unlikely]] {
            displace(c, there, slot.index);
        }
        // Published by commit()'s release store, like the payload.
        slots_.stamp({slot.index, slot.generation}, sequence() + 1);
        if (fanout_sample::is_sampled(sequence() + 1)) [[unlikely]] {
            open_sample(sequence() + 1);
        }
        if (eager_) {
            slots_.seal({slot.index, slot.generation});
        }
        ++position_[r];
        claims_out_.set(claims_out_.get() - 1);
        published_[kind_index(kind)].add(1);
    }
    /// Who may want the event that is placed next. Only while the engine has a table.
    void stamp_mask(ring_class c, std::uint32_t kind, std::uint32_t instrument) noexcept;
    /// One release store for all that was placed, then the wake check; returns the last sequence.
    std::uint64_t commit(bool any_critical) noexcept;
    /// The rare questions about a claim: another publisher's (false), or a kind of the other class
    /// than declared (reported; true).
    [[nodiscard]] bool check_claim(const publisher_core* from, claimed_slot slot,
                                   bool class_as_declared) noexcept;
    /// Nobody wants it: the slot comes back at once.
    void drop_unwanted(claimed_slot slot, bool is_critical) noexcept;
    void count_refused() noexcept { refused_.add(1); }

    /// One thread at a time: false, after a report, when another thread is inside. Once closed, it
    /// takes turns with stop(), which goes through the slots.
    [[nodiscard]] bool enter() noexcept;
    /// The usual case of enter(): nobody inside, not closed, below `full`. False reports nothing.
    [[nodiscard]] bool enter_quickly() noexcept {
        // Acquire pairs with leave(): a publisher handed over brings its private state along.
        if (slots_.level() >= guard_level::full || inside_.load(std::memory_order_acquire) != 0)
            [[unlikely]] {
            return false;
        }
        // Relaxed: only a thread that breaks the rule races here; `full` tells it exactly.
        inside_.store(caller(), std::memory_order_relaxed);
        return !closed_meanwhile();
    }
    void leave_quickly() noexcept {
        // Release pairs with engine::stop()'s acquire load: what was committed is final then.
        inside_.store(0, std::memory_order_release);
    }
    void leave() noexcept {
        if (closed()) [[unlikely]] {
            leave_closed();
            return;
        }
        leave_quickly();
    }
    enum closed_state : std::uint32_t { open = 0, stopped = 1, halted = 2 };
    [[nodiscard]] bool closed() const noexcept {
        // Relaxed: stop() follows its store by a barrier on every thread (see engine::stop).
        return closed_.load(std::memory_order_relaxed) != open;
    }
    /// Why publish refuses; of one that was closed a moment ago: a halted one may have been resumed
    /// since, a stopped one stays stopped.
    [[nodiscard]] publish_status closed_status() const noexcept {
        // Relaxed: as above.
        return closed_.load(std::memory_order_relaxed) == stopped ? publish_status::stopped
                                                                  : publish_status::halted;
    }
    /// Whoever comes next is the one that publish_and_wait() asks about. Inside only, before the
    /// event is placed.
    void await_next(ring_class c, std::uint64_t live) noexcept;
    [[nodiscard]] void* payload(std::uint32_t index) noexcept { return slots_.payload(index); }

    // --- any thread ------------------------------------------------------------------------

    [[nodiscard]] publisher_stats stats() const;
    /// Refuses all publishes from now on, until resume(). One store.
    void halt() noexcept;
    void resume() noexcept;
    [[nodiscard]] std::uint32_t approx_free(ring_class c) const noexcept;
    [[nodiscard]] slowest_subscription slowest() const noexcept;
    /// The supervisor: notes where the tail is now.
    void note_tail(std::uint64_t now) noexcept;
    /// Ticks since the event at a position that is not taken was committed, by at most a
    /// millisecond too few; no more than half a second back.
    [[nodiscard]] std::uint64_t waiting_since(ring_class c, std::uint64_t position,
                                              std::uint64_t now) const noexcept;
    /// The outcomes of the event that was awaited last; returns how many are pending.
    std::uint32_t outcomes(std::vector<wait_report::consumer>* out) const;
    /// Waits until none is pending; false at the deadline, when the dispatcher stops, or at a
    /// request to stop.
    [[nodiscard]] bool await_outcomes(const std::stop_token& stop, bool may_cancel,
                                      std::chrono::nanoseconds deadline);
    /// Market data: handlers that have not begun are spared the awaited event.
    void cancel_awaited() noexcept {
        // Release: as await_next().
        cancelled_.store(awaited_.load(std::memory_order_relaxed), std::memory_order_release);
    }

    [[nodiscard]] fanout_sample& sample_of(std::uint64_t sequence) noexcept {
        return samples_[sequence / fanout_sample::every % fanout_sample::places];
    }
    void add_fanout(fanout_stats& out) const noexcept;

    /// What a subscription's worker says of one event, if somebody waits for it.
    [[nodiscard]] std::uint64_t awaited() const noexcept {
        // Relaxed: written before the tail that showed us the event.
        return awaited_.load(std::memory_order_relaxed);
    }
    /// From that sequence on, the first that is sampled or awaited.
    [[nodiscard]] std::uint64_t watched_from(std::uint64_t sequence) const noexcept {
        const std::uint64_t waited = awaited();
        const std::uint64_t sampled = fanout_sample::next_sampled(sequence);
        return waited >= sequence ? std::min(waited, sampled) : sampled;
    }
    [[nodiscard]] bool is_cancelled(std::uint64_t sequence) const noexcept {
        return cancelled_.load(std::memory_order_acquire) == sequence;  // pairs: cancel_awaited()
    }
    void note_outcome(std::uint32_t subscription, std::uint64_t sequence,
                      delivery_outcome outcome) noexcept {
        // Release pairs with outcomes(): what the handler did is visible.
        outcomes_[subscription].store(sequence << 3U | static_cast<std::uint64_t>(outcome),
                                      std::memory_order_release);
    }
    [[nodiscard]] std::uint64_t critical_unwanted() const noexcept {
        return critical_unwanted_.get();
    }
    /// The next position of a ring as the last commit left it.
    [[nodiscard]] std::uint64_t committed(ring_class c) const noexcept;

    /// What rescues will need for a subscription that is about to join. Throws std::bad_alloc.
    void make_store(const subscription_core& sub);
    /// Sequence of the last event committed, over both rings.
    [[nodiscard]] std::uint64_t committed_sequence() const noexcept {
        const std::uint64_t now = tail.load(std::memory_order_acquire);  // pairs with commit()
        std::uint64_t sum = 0;
        for (const ring_class c : {ring_class::market, ring_class::critical}) {
            // Relaxed: as in committed().
            sum += tail_word::extend(base_[index_of(c)].load(std::memory_order_relaxed),
                                     tail_word::count(now, c));
        }
        return sum;
    }

    /// Of the event at a committed position; another's when it has been lapped.
    [[nodiscard]] std::uint64_t sequence_in(ring_class c, std::uint64_t position) const noexcept {
        return sequence_of(entry(c, position));
    }
    /// Of the event in a committed slot.
    [[nodiscard]] std::uint64_t sequence_of(std::uint32_t index) const noexcept {
        // Relaxed: stamped by the publisher's thread, ordered by the tail like the payload.
        return slots_.header(index).meta.load(std::memory_order_relaxed);
    }
    /// Asks for the lines of the market ring's newest event, ahead of the turn that reads them.
    void fetch_newest() const noexcept {
        if constexpr (!is_simulated) {
            // Relaxed: the count picks the entry, and a wrong guess does no harm.
            const std::uint64_t now = tail.load(std::memory_order_relaxed);
            slots_.fetch_for_read(
                entry(ring_class::market, tail_word::count(now, ring_class::market) - 1U));
        }
    }
    /// False shows that no uncommitted event is stamped with a table read before.
    [[nodiscard]] bool stamping() const noexcept {
        return stamping_.load(std::memory_order_acquire) != 0;  // pairs with commit()
    }
    /// True while a thread is inside; false shows stop() all that it did.
    [[nodiscard]] bool busy() const noexcept {
        return inside_.load(std::memory_order_acquire) != 0;  // pairs with leave()
    }

    /// True while that thread is in a handler of somebody it helps: nothing of its own is half
    /// done.
    [[nodiscard]] bool helping() const noexcept {
        return helping_.load(std::memory_order_acquire) != 0;  // pairs with helped()
    }

    // --- the engine, when nobody publishes any more --------------------------------------------

    /// Recycles all that every cursor has passed; returns how many slots are still not back.
    std::uint64_t recycle_all() noexcept;

    // Shared: written by the publisher at each commit, read by workers.
    alignas(cache_block) atomic<std::uint64_t> tail{0};

    // Constant after construction, but for what they lead to.
    alignas(cache_block) std::array<ring, ring_classes> rings{};
    slab slots_;
    engine* owner_;
    std::uint32_t number_;
    std::string name_;
    publisher_params params_;
    std::uint16_t site_ = 0;  ///< its name, interned
    /// What rescues keep, per subscription. Made before its cursor joins; kept for the next one.
    std::vector<std::unique_ptr<rescue_store>> stores_;

    // Control words, rarely written.
    alignas(cache_block) atomic<std::uint32_t> closed_{0};
    // See await_next().
    atomic<std::uint64_t> awaited_{0};  ///< sequence; 0 = none ever
    atomic<std::uint64_t> cancelled_{0};
    ring_class awaited_in_ = ring_class::market;
    std::uint64_t awaited_by_ = 0;  ///< bits of the subscriptions that lived then; the publisher's
    std::unique_ptr<atomic<std::uint64_t>[]> outcomes_;  ///< {sequence:61, outcome:3}
    std::unique_ptr<fanout_sample[]> samples_;
    histogram_cells fanout_ns_;  ///< publish to the last handler; the publisher's, as the next
    counter_cell fanout_work_;   ///< ticks: what the handlers took one after the other
    counter_cell fanout_room_;   ///< ticks: what as many workers as could help had time for
    /// Tails that the supervisor saw, a millisecond apart.
    struct seen_tail {
        atomic<std::uint64_t> market{0};
        atomic<std::uint64_t> critical{0};
        atomic<std::uint64_t> at{0};  ///< ticks; 0 = none
    };
    static constexpr std::size_t seen_tails = 512;
    std::unique_ptr<seen_tail[]> seen_;
    atomic<std::uint64_t> seen_count_{0};
    /// A recent position of each ring, for readers that have only tail's 32 bits.
    std::array<atomic<std::uint64_t>, ring_classes> base_{};

  private:
    /// After inside_ was set: true, and out again, when the publisher was closed before.
    [[nodiscard]] bool closed_meanwhile() noexcept {
        // For the compiler; the processor's part is close_publishers()'s barrier on every thread:
        // either we see `closed`, or it sees us inside.
        std::atomic_signal_fence(std::memory_order_seq_cst);
        if (!closed()) [[likely]] {
            return false;
        }
        inside_.store(0, std::memory_order_release);  // stop() waits for this
        return true;
    }
    /// A slot's lines lie where the worker that read them last is; asked for some claims before
    /// they are written, they are here by then.
    void fetch_ahead(std::uint64_t at) const noexcept {
        if (at + claims_ahead < limit_[0]) [[likely]] {
            slots_.fetch_for_write(entry(ring_class::market, at + claims_ahead));
        }
    }
    [[nodiscard]] std::uint32_t entry(ring_class c, std::uint64_t position) const noexcept {
        const ring& places = rings[index_of(c)];
        // Relaxed: written by the publisher's thread alone, before the tail.
        return places.entries[position & places.mask].load(std::memory_order_relaxed);
    }
    /// Of the last event placed: dense over both rings.
    [[nodiscard]] std::uint64_t sequence() const noexcept { return position_[0] + position_[1]; }
    [[gnu::cold]] void open_sample(std::uint64_t sequence) noexcept;
    [[nodiscard]] bool enter_closed() noexcept;
    void leave_closed() noexcept;
    [[nodiscard]] bool make_free(ring_class c, wait_budget& budget, publish_result& why) noexcept;
    /// Commits what a packet has placed so far, so that it can be taken while the rest waits; false
    /// when there is nothing.
    bool commit_placed() noexcept;
    [[nodiscard]] std::string_view blocker_name(ring_class c) const noexcept;
    [[nodiscard]] bool wait_for(ring_class c, clock::time_point until) noexcept;
    bool helped() noexcept;
    [[nodiscard]] bool refresh(ring_class c) noexcept;
    void rescue(subscription_core& sub, ring_class c) noexcept;
    [[nodiscard]] std::uint64_t rescue_range(const subscription_core& sub, ring_class c,
                                             overflow policy, std::uint64_t from,
                                             std::uint64_t to) noexcept;
    static void disconnect(subscription_core& sub, cursor_block& block) noexcept;
    void count_lost(cursor_block& block, std::uint32_t index) noexcept;
    [[nodiscard]] bool keep_critical(rescue_store& store, const subscription_core& sub,
                                     std::uint32_t index) noexcept;
    void conflate(rescue_store& store, cursor_block& block, const subscription_core& sub,
                  std::uint32_t index, std::uint64_t position) noexcept;
    [[nodiscard]] bool exchange(ring_class c) noexcept;
    void reclaim_limbo() noexcept;
    void pass(ring_class c, std::uint64_t upto) noexcept;
    void displace(ring_class c, std::uint32_t displaced, std::uint32_t by) noexcept;
    [[nodiscard]] std::uint64_t resident_at(std::uint32_t index) const noexcept;
    [[nodiscard]] bool hand_out(std::uint32_t index, claimed_slot& out) noexcept;
    [[nodiscard]] bool with_user(std::uint64_t market_position) const noexcept;
    [[nodiscard]] bool claim_resident(claimed_slot& out) noexcept;
    [[nodiscard]] bool claim_spare(claimed_slot& out) noexcept;
    void take_back(claimed_slot slot) noexcept;
    void check_in(std::uint32_t index) noexcept;
    void report(violation_kind kind, std::uint32_t index, std::uint32_t generation) const noexcept;
    [[nodiscard]] bool pinned(ring_class c, std::uint64_t position) const noexcept;

    struct limbo_slot {
        std::uint32_t index;
        ring_class where;
        std::uint64_t position;
    };
    enum mark : std::uint8_t {
        checked_in = 1,  ///< the guard already holds it as free
        back = 2,        ///< not with the user, though its place counts as claimed
    };
    static constexpr std::uint64_t claims_ahead = 4;

    // Written for each event by whoever publishes, in one block; inside_ is read by stop() too.
    //
    // Places [position_[0], claim_next_) of the market ring are claimed: their slots are with the
    // user, but for those marked `back`. A claim below `full` leaves the slot's header as it was;
    // publishing or abandoning it writes the header.
    alignas(cache_block) atomic<std::uint32_t> inside_{0};  ///< thread number + 1
    /// 1: events are stamped with the engine's table and not committed yet; the engine waits for 0
    /// before it frees a table.
    atomic<std::uint32_t> stamping_{0};
    atomic<std::uint32_t> helping_{0};  ///< see helping()
    bool eager_ = false;  ///< guard level full: recycle at every publish. Set by enter().
    std::array<std::uint64_t, ring_classes> position_{};
    std::array<std::uint64_t, ring_classes> limit_{};
    std::uint64_t claim_next_ = 0;  ///< next resident place of the market ring to hand out
    counter_cell claims_out_;
    alignas(cache_block) std::array<counter_cell, max_event_kinds> published_;

    // The publisher's too, but not for each event.
    alignas(
        cache_block) std::array<std::uint64_t, ring_classes> passed_{};  ///< recycled up to here
    std::uint32_t spare_reserve_ = 0;  ///< kept back for exchanges
    std::uint32_t blocker_ = 0;        ///< who held the ring at the last refresh
    std::vector<std::uint32_t> spares_;
    std::vector<limbo_slot> limbo_;
    std::vector<std::uint32_t> generation_;
    std::vector<std::uint8_t> marks_;  ///< mark
    std::unique_ptr<atomic<std::uint32_t>[]> entries_;
    std::unique_ptr<cursor_block[]> cursors_;
    std::unique_ptr<atomic<std::uint64_t>[]> masks_;
    counter_cell unwanted_;
    counter_cell critical_unwanted_;
    counter_cell refused_;
    counter_cell recycled_;
    counter_cell abandoned_;
    counter_cell waits_;
    counter_cell exchanges_;
    mutex closing_;  ///< guards all of the above once closed; never taken before
    atomic<std::uint32_t> closing_owner_{0};  ///< thread number + 1 of who holds closing_
};

inline bool tail_views::unmoved(const publisher_core& from) const noexcept {
    // Relaxed: a hint; who goes by it looks again anyway, only later.
    return (known_ >> from.number_ & 1U) != 0 &&
           words_[from.number_] == from.tail.load(std::memory_order_relaxed);
}

inline std::uint64_t tail_views::of(const publisher_core& from) noexcept {
    const std::uint64_t bit = std::uint64_t{1} << from.number_;
    if ((known_ & bit) == 0) {
        known_ |= bit;
        // Acquire pairs with commit(): slots and entries before the tail are visible. seq_cst: in
        // one order with the look at `live` in alone().
        words_[from.number_] = from.tail.load(std::memory_order_seq_cst);
    }
    return words_[from.number_];
}

}  // namespace ropeway::detail
