// SPDX-License-Identifier: Apache-2.0
//
// Claims and commits: what a publisher does for each event.
#include <ropeway/dispatcher/publisher_core.hpp>

#include <algorithm>
#include <bit>
#include <utility>

#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/site.hpp>
#include <ropeway/pool/thread_number.hpp>
#include <ropeway/pool/tick_clock.hpp>

#include "mask_table.hpp"

namespace ropeway::detail {
namespace {

constexpr std::uint64_t nowhere = ~std::uint64_t{0};

}  // namespace

publisher_core::publisher_core(engine& owner, std::uint32_t number, std::string name,
                               const publisher_params& params, slab_params slots)
    : slots_(std::move(slots)),
      owner_(&owner),
      number_(number),
      name_(std::move(name)),
      params_(params),
      site_(intern_site(name_)) {
    const std::uint32_t subscriptions = owner.params().max_subscriptions;
    const std::array<std::uint32_t, ring_classes> capacity{params.market_capacity,
                                                           params.critical_capacity};
    const std::uint32_t total = slots_.slots();
    entries_ = std::make_unique<atomic<std::uint32_t>[]>(capacity[0] + capacity[1]);
    masks_ = std::make_unique<atomic<std::uint64_t>[]>(capacity[0] + capacity[1]);
    for (std::uint32_t i = 0; i < capacity[0] + capacity[1]; ++i) {
        masks_[i].store(~std::uint64_t{0}, std::memory_order_relaxed);  // relaxed: not shared yet
    }
    cursors_ = std::make_unique<cursor_block[]>(std::size_t{ring_classes} * subscriptions);
    stores_.resize(subscriptions);
    samples_ = std::make_unique<fanout_sample[]>(fanout_sample::places);
    seen_ = std::make_unique<seen_tail[]>(seen_tails);
    outcomes_ = std::make_unique<atomic<std::uint64_t>[]>(subscriptions);
    generation_.resize(total);
    marks_.assign(total, checked_in);
    spares_.reserve(total);
    limbo_.reserve(total);
    std::uint32_t next = 0;
    for (std::size_t r = 0; r < ring_classes; ++r) {
        rings[r].capacity = capacity[r];
        rings[r].mask = capacity[r] - 1;
        rings[r].entries = entries_.get() + (r == 0 ? 0 : capacity[0]);
        rings[r].masks = masks_.get() + (r == 0 ? 0 : capacity[0]);
        rings[r].cursors = cursors_.get() + r * subscriptions;
        position_[r] = passed_[r] = owner.params().starts.position;
        limit_[r] = position_[r] + capacity[r];
        base_[r].store(position_[r], std::memory_order_relaxed);  // relaxed: not shared yet
        for (std::uint32_t i = 0; i < capacity[r]; ++i) {
            rings[r].entries[i].store(next++,
                                      std::memory_order_relaxed);  // relaxed: not shared yet
        }
    }
    claim_next_ = position_[0];
    tail.store(tail_word::of(position_[0], position_[1]), std::memory_order_relaxed);  // as above
    while (next < total) {
        spares_.push_back(next++);
    }
    for (std::uint32_t i = 0; i < total; ++i) {
        generation_[i] = slots_.never_used(i).generation;
    }
    spare_reserve_ = static_cast<std::uint32_t>(spares_.size()) - params.spare_claims;
}

bool publisher_core::enter() noexcept {
    const std::uint32_t me = caller();
    const bool exact = slots_.level() >= guard_level::full;
    bool alone = false;
    if (exact) {
        std::uint32_t nobody = 0;
        // Acquire pairs with leave(), as in enter_quickly().
        alone = inside_.compare_exchange_strong(nobody, me, std::memory_order_acquire,
                                                std::memory_order_relaxed);
    } else if (inside_.load(std::memory_order_acquire) == 0) {  // acquire: as above
        inside_.store(me, std::memory_order_relaxed);           // relaxed: as in enter_quickly()
        alone = true;
    }
    if (!alone) {
        report(violation_kind::concurrent_publisher, 0, 0);
        return false;
    }
    if (closed_meanwhile() && !enter_closed()) {
        return enter();  // resumed in between
    }
    eager_ = exact;  // only now: it belongs to whoever is inside
    return true;
}

bool publisher_core::enter_closed() noexcept {
    closing_.lock();
    if (!closed()) {
        closing_.unlock();
        return false;
    }
    // Relaxed: guarded by closing_, but for the look in leave_closed().
    closing_owner_.store(caller(), std::memory_order_relaxed);
    return true;
}

void publisher_core::halt() noexcept {
    std::uint32_t was = open;
    // Release: as stop()'s; a publish that is inside already may still commit.
    closed_.compare_exchange_strong(was, halted, std::memory_order_release,
                                    std::memory_order_relaxed);
}

void publisher_core::resume() noexcept {
    const std::lock_guard lock{closing_};  // whoever came in while it was halted is out
    std::uint32_t was = halted;
    // Release: as above.
    closed_.compare_exchange_strong(was, open, std::memory_order_release,
                                    std::memory_order_relaxed);
}

void publisher_core::await_next(ring_class c, std::uint64_t live) noexcept {
    awaited_in_ = c;
    awaited_by_ = live;
    // Relaxed: commit()'s release store publishes it.
    awaited_.store(sequence() + 1, std::memory_order_relaxed);
}

bool engine::still_takes(const publisher_core& from, ring_class c, std::uint32_t number,
                         std::uint64_t sequence) noexcept {
    const subscription_core& sub = subscriptions_[number];
    // Acquire: what it said before it ended is visible; the caller looks once more.
    return (live() & bit_of(number)) != 0 && sub.first_sequence[from.number_] <= sequence &&
           (c == ring_class::critical ||
            sub.market_data.load(std::memory_order_acquire) == subscription_core::connected) &&
           sub.closing.load(std::memory_order_acquire) == subscription_core::stays;
}

std::uint32_t publisher_core::outcomes(std::vector<wait_report::consumer>* out) const {
    const std::uint64_t sequence = awaited();
    std::uint32_t pending = 0;
    for (std::uint64_t left = awaited_by_; left != 0; left &= left - 1) {
        const auto number = static_cast<std::uint32_t>(std::countr_zero(left));
        const cursor_block& block = rings[0].cursors[number];
        auto outcome = delivery_outcome::pending;
        if (!owner_->still_takes(*this, awaited_in_, number, sequence)) {
            outcome = delivery_outcome::dropped;  // unless it said something before
        }
        // Acquire pairs with note_outcome().
        const std::uint64_t said = outcomes_[number].load(std::memory_order_acquire);
        if (said >> 3U == sequence) {
            outcome = static_cast<delivery_outcome>(said & 7U);
        }
        pending += outcome == delivery_outcome::pending ? 1U : 0U;
        if (out != nullptr) {
            // Relaxed: a name.
            out->push_back({std::string{site_text(
                                static_cast<site_id>(block.site.load(std::memory_order_relaxed)))},
                            outcome});
        }
    }
    return pending;
}

std::uint32_t publisher_core::approx_free(ring_class c) const noexcept {
    const ring& places = rings[index_of(c)];
    const std::uint64_t at = committed(c);
    std::uint64_t low = at;
    for (std::uint64_t left = owner_->live(); left != 0; left &= left - 1) {
        const cursor_block& block =
            places.cursors[static_cast<std::uint32_t>(std::countr_zero(left))];
        // Acquire pairs with the worker's release; the rest relaxed: a number.
        const std::uint64_t word = block.cursor.load(std::memory_order_acquire);
        const bool holds =
            (word & cursor_word::closed_bit) == 0 && word != cursor_word::join &&
            block.left_behind.load(std::memory_order_relaxed) == cursor_block::kept_up &&
            (c == ring_class::critical || block.policy.load(std::memory_order_relaxed) ==
                                              static_cast<std::uint32_t>(overflow::block));
        if (holds) {
            low = std::min(low, cursor_word::position(word));
        }
    }
    const std::uint64_t used = at - low;
    return used >= places.capacity ? 0 : places.capacity - static_cast<std::uint32_t>(used);
}

void publisher_core::open_sample(std::uint64_t sequence) noexcept {
    const fanout_sample::result was = sample_of(sequence).reopen(sequence, tick_clock::now());
    if (was.count != 0) {
        fanout_ns_.record(tick_clock::to_ns(was.span));
        fanout_work_.add(was.work);
        fanout_room_.add(was.span * std::min(was.count, owner_->workers()));
    }
}

void publisher_core::add_fanout(fanout_stats& out) const noexcept {
    out.time.merge(fanout_ns_.snapshot());
    out.work_ns += tick_clock::to_ns(fanout_work_.get());
    out.room_ns += tick_clock::to_ns(fanout_room_.get());
}

void publisher_core::note_tail(std::uint64_t now) noexcept {
    // Relaxed: the supervisor is the only writer; release on the count pairs with waiting_since().
    const std::uint64_t count = seen_count_.load(std::memory_order_relaxed);
    seen_tail& place = seen_[count % seen_tails];
    place.market.store(committed(ring_class::market), std::memory_order_relaxed);
    place.critical.store(committed(ring_class::critical), std::memory_order_relaxed);
    place.at.store(now, std::memory_order_relaxed);
    seen_count_.store(count + 1, std::memory_order_release);
}

std::uint64_t publisher_core::waiting_since(ring_class c, std::uint64_t position,
                                            std::uint64_t now) const noexcept {
    // Acquire pairs with note_tail(); the rest relaxed: a place that is written meanwhile is newer.
    const std::uint64_t count = seen_count_.load(std::memory_order_acquire);
    std::uint64_t low = count > seen_tails ? count - seen_tails + 1 : 0;
    std::uint64_t high = count;
    while (low != high) {  // the first look that saw the event
        const std::uint64_t middle = low + (high - low) / 2;
        const seen_tail& place = seen_[middle % seen_tails];
        const std::uint64_t tail_then = (c == ring_class::market ? place.market : place.critical)
                                            .load(std::memory_order_relaxed);
        if (tail_then > position) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    if (low == count) {
        return 0;  // committed since the last look
    }
    const std::uint64_t at = seen_[low % seen_tails].at.load(std::memory_order_relaxed);
    return now > at ? now - at : 0;
}

slowest_subscription publisher_core::slowest() const noexcept {
    slowest_subscription out;
    const std::uint64_t at = committed(ring_class::market);
    for (std::uint64_t left = owner_->live(); left != 0; left &= left - 1) {
        const cursor_block& block =
            rings[0].cursors[static_cast<std::uint32_t>(std::countr_zero(left))];
        // Acquire pairs with the worker's release; the rest relaxed: a number and a name.
        const std::uint64_t word = block.cursor.load(std::memory_order_acquire);
        if ((word & cursor_word::closed_bit) != 0 || word == cursor_word::join) {
            continue;
        }
        const std::uint64_t position = cursor_word::position(word);
        const std::uint64_t lag = at > position ? at - position : 0;
        if (out.name.empty() || lag > out.lag) {
            out = {site_text(static_cast<site_id>(block.site.load(std::memory_order_relaxed))),
                   lag};
        }
    }
    return out;
}

void publisher_core::leave_closed() noexcept {
    // Relaxed: only this thread can have written its own number.
    if (closing_owner_.load(std::memory_order_relaxed) == caller()) {
        closing_owner_.store(0, std::memory_order_relaxed);
        closing_.unlock();
    } else {
        inside_.store(0, std::memory_order_release);  // it came in before the close; see leave()
    }
}

std::uint64_t publisher_core::resident_at(std::uint32_t index) const noexcept {
    for (std::uint64_t at = position_[0]; at < claim_next_; ++at) {
        if (entry(ring_class::market, at) == index) {
            return at;
        }
    }
    return nowhere;
}

bool publisher_core::with_user(std::uint64_t market_position) const noexcept {
    return market_position < claim_next_ &&
           (marks_[entry(ring_class::market, market_position)] & back) == 0;
}

bool publisher_core::hand_out(std::uint32_t index, claimed_slot& out) noexcept {
    const slot_ref held{index, generation_[index]};
    bool free = false;
    if ((marks_[index] & checked_in) != 0) {
        free = slots_.check_out(held, 0);
    } else {
        free = slots_.renew(held, 0);
        ++generation_[index];
    }
    marks_[index] = free ? 0 : marks_[index];
    out = {index, generation_[index]};
    return free;
}

bool publisher_core::claim_resident(claimed_slot& out) noexcept {
    while (claim_next_ < limit_[0]) {
        const std::uint32_t index = entry(ring_class::market, claim_next_);
        fetch_ahead(claim_next_);
        ++claim_next_;
        if (hand_out(index, out)) [[likely]] {
            return true;
        }
        marks_[index] |= back;
    }
    return false;
}

bool publisher_core::claim_spare(claimed_slot& out) noexcept {
    // Slots in limbo come out of the exchanges' reserve, not out of the user's claims.
    while (!spares_.empty() && spares_.size() + limbo_.size() > spare_reserve_) {
        const std::uint32_t index = spares_.back();
        spares_.pop_back();
        if (hand_out(index, out)) {  // one that the guard refuses is never handed out again
            return true;
        }
    }
    return false;
}

bool publisher_core::claim(claimed_slot& out) noexcept {
    if (claims_out_.get() == 0 || claim_next_ < position_[0]) {
        claim_next_ = position_[0];
    }
    if (!claim_resident(out) && !claim_spare(out)) [[unlikely]] {
        // The ring may have emptied since the limit was last looked up.
        static_cast<void>(refresh(ring_class::market));
        if (!claim_resident(out)) {
            return false;
        }
    }
    claims_out_.add(1);
    return true;
}

void publisher_core::stamp_mask(ring_class c, std::uint32_t kind,
                                std::uint32_t instrument) noexcept {
    const ring& places = rings[index_of(c)];
    stamping_.store(1, std::memory_order_relaxed);
    // For the compiler; the processor's part is the barrier in renew_masks(): either we read its
    // new table, or it sees us stamping and waits for our commit.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    // Relaxed: ordered by the tail, like the entries.
    places.masks[position_[index_of(c)] & places.mask].store(
        owner_->masks()->mask(instrument, kind), std::memory_order_relaxed);
}

void publisher_core::check_in(std::uint32_t index) noexcept {
    if ((marks_[index] & checked_in) == 0 && slots_.check_in({index, generation_[index]})) {
        ++generation_[index];
        marks_[index] |= checked_in;
    }
}

void publisher_core::take_back(claimed_slot slot) noexcept {
    slots_.stamp({slot.index, slot.generation}, 0);
    if (resident_at(slot.index) == nowhere) {
        spares_.push_back(slot.index);
    }
    marks_[slot.index] |= back;
    if (eager_) {
        check_in(slot.index);
    }
    claims_out_.set(claims_out_.get() - 1);
}

void publisher_core::abandon(claimed_slot slot) noexcept {
    if (!enter()) {
        return;  // reported; the slot stays out, and the report of stop() counts it
    }
    take_back(slot);
    abandoned_.add(1);
    leave();
}

void publisher_core::drop_unwanted(claimed_slot slot, bool is_critical) noexcept {
    unwanted_.add(1);
    if (is_critical) {
        critical_unwanted_.add(1);
        owner_->something_to_tell();
    }
    take_back(slot);
}

void publisher_core::displace(ring_class c, std::uint32_t displaced, std::uint32_t by) noexcept {
    const std::size_t r = index_of(c);
    ring& market = rings[0];
    const bool at_rest = c == ring_class::critical || !with_user(position_[0]);
    if (const std::uint64_t home = resident_at(by); home != nowhere) {
        // The claim's place of the market ring takes the displaced slot instead. Relaxed: the
        // place is not committed, so no worker reads it before the next tail store.
        market.entries[home & market.mask].store(displaced, std::memory_order_relaxed);
        marks_[displaced] |= at_rest ? std::uint8_t{back} : std::uint8_t{0};
    } else if (at_rest) {
        spares_.push_back(displaced);
    }
    rings[r].entries[position_[r] & rings[r].mask].store(by,
                                                         std::memory_order_relaxed);  // as above
}

std::uint64_t publisher_core::committed(ring_class c) const noexcept {
    const std::size_t r = index_of(c);
    // Relaxed: any position of the last 2^31 serves; acquire pairs with commit().
    const std::uint64_t near = base_[r].load(std::memory_order_relaxed);
    return tail_word::extend(near, tail_word::count(tail.load(std::memory_order_acquire), c));
}

bool publisher_core::check_claim(const publisher_core* from, claimed_slot slot,
                                 bool class_as_declared) noexcept {
    if (from != this) {
        report(violation_kind::foreign_pool, slot.index, slot.generation);
        return false;
    }
    if (!class_as_declared) {
        report(violation_kind::wrong_class, slot.index, slot.generation);
    }
    return true;
}

void publisher_core::make_store(const subscription_core& sub) {
    std::unique_ptr<rescue_store>& store = stores_[sub.number];
    if (store == nullptr || store->critical.capacity() != sub.backlog_capacity) {
        store = std::make_unique<rescue_store>(sub.backlog_capacity);
    }
    store->begin(sub.policy == overflow::conflate ? sub.conflation_keys : 0);
}

publisher_stats publisher_core::stats() const {
    publisher_stats out;
    out.name = name_;
    for (std::size_t k = 0; k < max_event_kinds; ++k) {
        out.published += out.published_by_kind[k] = published_[k].get();
    }
    out.unwanted = unwanted_.get();
    out.critical_unwanted = critical_unwanted_.get();
    out.refused = refused_.get();
    out.recycled = recycled_.get();
    out.claims_out = claims_out_.get();
    out.claims = out.published + out.unwanted + abandoned_.get() + out.claims_out;
    out.waits = waits_.get();
    out.exchanges = exchanges_.get();
    out.in_rings = out.published > out.recycled ? out.published - out.recycled : 0;
    out.slots = slots_.slots();
    return out;
}

}  // namespace ropeway::detail
