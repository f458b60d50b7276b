// SPDX-License-Identifier: Apache-2.0
//
// Returns: a clean resource goes straight back, mostly by one plain store; every other one passes
// to the I/O thread. Nothing here waits or throws, also while the pool ends and after it.
#include <algorithm>
#include <utility>

#include <ropeway/pool/coarse_clock.hpp>

#include "lease_hint.hpp"
#include "resource_parts.hpp"
#include "stack_walk.hpp"

namespace ropeway::detail {

namespace {
constexpr auto clean = static_cast<std::uint8_t>(slot_verdict::none);
constexpr auto needs_reset = static_cast<std::uint8_t>(slot_verdict::reset);
constexpr std::uint8_t verdict_of(close_reason why) noexcept {
    return static_cast<std::uint8_t>(why);
}

/// What it is to give back a lease of `generation` where the slot's word has gone on to `word`.
violation_kind kind_of_late_return(std::uint64_t word, std::uint32_t generation) noexcept {
    const std::uint32_t ahead = lease_word::generation(word) - generation;
    const bool reused = ahead > 1 || (ahead == 1 && lease_word::phase(word) == slot_phase::active);
    return reused ? violation_kind::put_after_reuse : violation_kind::double_put;
}

/// At the end of a lease: with what the resource did in it, it has been used enough.
bool is_used_up(lease_block& slot, pooled_resource& what) noexcept {
    // relaxed (all): the holder's own
    std::uint64_t end = slot.ends_at.load(std::memory_order_relaxed);
    const std::uint64_t uses = what.take_uses();
    if (uses > 1) {  // the lease itself counts as one
        end -= std::min(end, uses - 1);
        slot.ends_at.store(end, std::memory_order_relaxed);
    }
    return slot.released.load(std::memory_order_relaxed) + 1 >= end;
}

}  // namespace

std::uint8_t resource_core::parts::judge(lease_block& slot, std::uint64_t word) noexcept {
    // relaxed: the holder's own
    pooled_resource& what = *slot.resource.load(std::memory_order_relaxed);
    if (params_.hooks.after_release && !params_.hooks.after_release(what)) [[unlikely]] {
        return verdict_of(close_reason::hook);
    }
    const return_state state = what.on_return();
    const bool used_up = is_used_up(slot, what);
    if (state == return_state::broken || (word & lease_word::doomed) != 0) [[unlikely]] {
        return verdict_of(close_reason::broken);
    }
    if (used_up) [[unlikely]] {
        return verdict_of(close_reason::uses);
    }
    return state == return_state::dirty ? needs_reset : clean;
}

noted_return resource_core::parts::note_return(lease_block& slot, site_id where) noexcept {
    // relaxed (all but one): the holder's own, and numbers for reports
    const lease_hint& hint = hint_for(id_);
    const std::uint32_t cells = hint.pool == id_ ? hint.cells : hold_times::shared;
    const std::uint64_t began = slot.acquired_at.load(std::memory_order_relaxed);
    std::uint64_t now = slow_now_.load(std::memory_order_relaxed);
    std::uint64_t held = 0;
    if ((began & timed_lease) != 0 || static_cast<std::int64_t>(now - began) >= long_hold_)
        [[unlikely]] {
        const std::uint64_t end = stamp();
        held = between(began, end);
        now = precise_ ? end : now;
        if (static_cast<std::int64_t>(end - began) >= long_hold_) {
            holds_.record_long(cells, held);
        } else {
            holds_.record_timed(cells, held);
        }
    } else {
        holds_.count_short(cells);
    }
    const std::uint64_t who =
        lease_who::returned(slot.who.load(std::memory_order_relaxed), where, thread_number());
    slot.who.store(who, std::memory_order_relaxed);
    slot.returned_at.store(now, std::memory_order_relaxed);
    // release: pairs with snapshot(), so that acquired >= released in each of them
    slot.released.store(slot.released.load(std::memory_order_relaxed) + 1,
                        std::memory_order_release);
    return {.held_ns = held, .who = who};
}

bool resource_core::parts::give_back(const lease_origin& from, site_id where) noexcept {
    lease_block& slot = leases_[from.slot];
    std::uint64_t expected = lease_word::make(from.generation, slot_phase::active);
    // acquire: the lease may have come from another thread; pairs with its hand-over at the latest
    // relaxed: invariants 2 and 5, the first look
    if (slot.word.load(std::memory_order_acquire) != expected || !light_ ||
        care_.load(std::memory_order_relaxed) != 0 || !at_home()) [[unlikely]] {
        return give_back_any(from, where, false);
    }
    // relaxed: the holder's own
    pooled_resource& what = *slot.resource.load(std::memory_order_relaxed);
    const return_state state = what.on_return();
    const bool used_up = is_used_up(slot, what);
    if (state != return_state::clean || used_up) [[unlikely]] {
        const auto verdict = state == return_state::broken ? verdict_of(close_reason::broken)
                             : used_up                     ? verdict_of(close_reason::uses)
                                                           : needs_reset;
        return finish(slot, from, verdict, expected, where);
    }
    const noted_return noted = note_return(slot, where);
    // release: hands the resource on. Nobody else writes the word of a leased slot, but for flags.
    slot.word.store(lease_word::make(from.generation + 1, slot_phase::idle),
                    std::memory_order_release);
    // Binds the compiler only: the processors' part is the other side's process_barrier().
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const std::uint64_t door = door_.load(std::memory_order_relaxed);  // invariant 2
    const std::uint32_t care = care_.load(std::memory_order_relaxed);  // the second look
    if (door != 0 || care != 0) [[unlikely]] {
        after_store(from, noted, care);
    }
    return true;
}

void resource_core::parts::after_store(const lease_origin& from, const noted_return& noted,
                                       std::uint32_t care) noexcept {
    if ((care & care_bits::flags) != 0) {
        to_loop({.kind = return_notice::what::flag_missed,
                 .slot = from.slot,
                 .lasted_ns = noted.held_ns,
                 .who = noted.who,
                 .generation = from.generation});
    }
    // seq_cst (both): invariant 2; an RMW, behind which the store is seen by who waits without a
    // barrier of his own, or he is seen here
    care_.fetch_or(0, std::memory_order_seq_cst);
    const std::uint64_t door = door_.load(std::memory_order_seq_cst);
    if (door != 0) {
        after_return(door);
    }
}

bool resource_core::parts::give_back_any(const lease_origin& from, site_id where,
                                         bool claimed) noexcept {
    if (!at_home()) [[unlikely]] {
        return true;  // the parent's: nothing of it is touched here
    }
    lease_block& slot = leases_[from.slot];
    // acquire: as in give_back()
    const std::uint64_t word = slot.word.load(std::memory_order_acquire);
    const bool mine = lease_word::generation(word) == from.generation &&
                      lease_word::phase(word) == slot_phase::active &&
                      ((word & lease_word::returned) != 0) == claimed;
    if (!mine) [[unlikely]] {
        report(kind_of_late_return(word, from.generation), from.slot, from.generation,
               {.action = slot_action::put, .site = where, .thread = thread_number()});
        return false;
    }
    return finish(slot, from, judge(slot, word), word, where);
}

bool resource_core::parts::finish(lease_block& slot, const lease_origin& from, std::uint8_t verdict,
                                  std::uint64_t word, site_id where) noexcept {
    return hand_in(slot, from, verdict, word, note_return(slot, where));
}

bool resource_core::parts::hand_in(lease_block& slot, const lease_origin& from,
                                   std::uint8_t verdict, std::uint64_t word,
                                   const noted_return& noted) noexcept {
    std::uint64_t to = 0;
    do {
        if (lease_word::generation(word) != from.generation ||
            lease_word::phase(word) != slot_phase::active) [[unlikely]] {
            // Another call gave the same lease back between the look and the CAS.
            report(violation_kind::double_put, from.slot, from.generation,
                   {.action = slot_action::put,
                    .site = lease_who::return_site(noted.who),
                    .thread = thread_number()});
            return false;
        }
        // A flag may have come in between: the I/O thread wants it back, or reported it.
        if ((word & lease_word::doomed) != 0) {
            verdict = verdict_of(close_reason::broken);
        } else if ((verdict == clean || verdict == needs_reset) &&
                   (word & lease_word::retire) != 0) {
            verdict = verdict_of(lease_word::verdict(word) == 0 ? close_reason::evicted
                                                                : close_reason::age);
        }
        to = verdict == clean
                 ? lease_word::make(from.generation + 1, slot_phase::idle)
                 : lease_word::make(from.generation + 1, slot_phase::returning, 0, verdict);
        // seq_cst: invariant 2, before the look at the door; the release half hands the resource on
    } while (!slot.word.compare_exchange_weak(word, to, std::memory_order_seq_cst,
                                              std::memory_order_relaxed));
    leave();
    for (const auto kind : {return_notice::what::leak_returned, return_notice::what::released}) {
        if (kind == return_notice::what::released ? params_.observe_leases
                                                  : (word & lease_word::overdue) != 0) {
            to_loop({.kind = kind,
                     .slot = from.slot,
                     .lasted_ns = noted.held_ns,
                     .who = noted.who,
                     .generation = from.generation});
        }
    }
    if (verdict != clean) {
        to_loop({.kind = return_notice::what::slot, .slot = from.slot});
    }
    const std::uint64_t door = door_.load(std::memory_order_seq_cst);  // invariant 2
    if (door != 0) [[unlikely]] {
        after_return(door);
    }
    return true;
}

void resource_core::parts::after_return(std::uint64_t door) noexcept {
    if ((door & door_bits::asleep) != 0) {
        wake_clock();
    }
    if ((door & door_bits::closed) != 0) {
        wake();
    } else if ((door & door_bits::waiters) != 0) {
        serve_waiters();
    }
}

void resource_core::parts::reject(std::uint32_t slot, std::uint8_t verdict) noexcept {
    lease_block& block = leases_[slot];
    std::uint64_t word = block.word.load(std::memory_order_relaxed);  // relaxed: the CAS decides
    std::uint64_t to = 0;
    do {
        // Wanted back meanwhile: it is not made idle again.
        to = lease_word::make(lease_word::generation(word), slot_phase::returning,
                              word & lease_word::retire, verdict);
        // release: pairs with take_return(); the generation stays, since nobody got a lease
    } while (!block.word.compare_exchange_weak(word, to, std::memory_order_release,
                                               std::memory_order_relaxed));
    leave();
    to_loop({.kind = return_notice::what::slot, .slot = slot});
    look_after_leave();
}

void resource_core::parts::to_loop(const return_notice& what) noexcept {
    if (!returns_.push(what)) [[unlikely]] {
        orphaned_.store(true, std::memory_order_release);  // pairs with take_notices()
    }
    // seq_cst, and an RMW, which a look alone might overtake: of the end's drain and this look at
    // least one sees the other
    if (ended_.fetch_or(0, std::memory_order_seq_cst) != 0) [[unlikely]] {
        drop_leftovers();
        return;
    }
    wake();
}

void resource_core::parts::drop_leftovers() noexcept {
    const std::lock_guard hold(lock_);
    return_notice notice;
    while (returns_.pop(notice)) {
        lease_block& block = leases_[notice.slot];
        std::uint64_t word = block.word.load(std::memory_order_acquire);  // pairs: its return
        if (notice.kind == return_notice::what::flag_missed) {
            // Forced, and its holder did not see that: it lies idle. A caller who came before the
            // end may take it even now; then his return brings it here.
            // acquire: pairs with its return
            if (lease_word::phase(word) != slot_phase::idle ||
                !block.word.compare_exchange_strong(
                    word, lease_word::into(word, slot_phase::closing), std::memory_order_acquire,
                    std::memory_order_relaxed)) {
                continue;
            }
        } else if (notice.kind != return_notice::what::slot) {
            continue;
        }
        block.resource.load(std::memory_order_relaxed)->drop();  // relaxed: constant by now
        block.word.store(lease_word::into(word, slot_phase::empty), std::memory_order_release);
    }
}

void resource_core::parts::add_uses(const lease_origin& from, std::uint64_t uses) noexcept {
    // relaxed (both): the holder's own
    auto& end = leases_[from.slot].ends_at;
    const std::uint64_t at = end.load(std::memory_order_relaxed);
    if (params_.max_uses != 0) {
        end.store(at - std::min(at, uses), std::memory_order_relaxed);
    }
}

void resource_core::parts::doom(const lease_origin& from) noexcept {
    // relaxed: read by the holder himself, at his return
    leases_[from.slot].word.fetch_or(lease_word::doomed, std::memory_order_relaxed);
}

bool resource_core::parts::give_back(lease_ticket ticket, site where) {
    const std::uint64_t before = violations_of_this_thread();
    const culprit second{.action = slot_action::put, .site = where.id(), .thread = thread_number()};
    bool well = false;
    // acquire: pairs with grow()
    if (ticket.slot >= used_.load(std::memory_order_acquire) || ticket.generation == 0) {
        report(violation_kind::foreign_pointer, ticket.slot, ticket.generation, second);
    } else {
        lease_block& slot = leases_[ticket.slot];
        std::uint64_t word = slot.word.load(std::memory_order_acquire);  // as in the other one
        bool claimed = false;
        while (!claimed && lease_word::generation(word) == ticket.generation &&
               lease_word::phase(word) == slot_phase::active &&
               (word & lease_word::returned) == 0) {
            // acquire: the same
            claimed = slot.word.compare_exchange_weak(word, word | lease_word::returned,
                                                      std::memory_order_acquire,
                                                      std::memory_order_acquire);
        }
        if (claimed) {
            well = give_back_any(
                {.core = &owner_, .slot = ticket.slot, .generation = ticket.generation}, where.id(),
                true);
        } else {
            const bool never_given = lease_word::generation(word) - ticket.generation > 0x8000'0000;
            report(never_given ? violation_kind::foreign_pointer
                               : kind_of_late_return(word, ticket.generation),
                   ticket.slot, ticket.generation, second);
        }
    }
    throw_if_new(before, params_.on_violation);
    return well;
}

pooled_resource* resource_core::parts::peek(lease_ticket ticket) noexcept {
    const culprit second{.action = slot_action::read, .site = 0, .thread = thread_number()};
    // acquire: pairs with grow()
    if (ticket.slot >= used_.load(std::memory_order_acquire) || ticket.generation == 0) {
        report(violation_kind::foreign_pointer, ticket.slot, ticket.generation, second);
        return nullptr;
    }
    lease_block& slot = leases_[ticket.slot];
    // acquire: pairs with the lease's own hand-over
    const std::uint64_t word = slot.word.load(std::memory_order_acquire);
    if (lease_word::generation(word) != ticket.generation ||
        lease_word::phase(word) != slot_phase::active || (word & lease_word::returned) != 0) {
        report(violation_kind::stale_read, ticket.slot, ticket.generation, second);
        return nullptr;
    }
    return slot.resource.load(std::memory_order_relaxed);  // relaxed: ordered by the word
}

void resource_core::parts::report(violation_kind kind, std::uint32_t slot, std::uint32_t generation,
                                  culprit second) const noexcept {
    report_violation(describe(kind, slot, generation, second), params_.on_violation);
}

violation resource_core::parts::describe(violation_kind kind, std::uint32_t slot,
                                         std::uint32_t generation, culprit second) const noexcept {
    violation what;
    what.kind = kind;
    params_.name.copy(what.pool.data(), what.pool.size() - 1);
    what.index = slot;
    what.generation_held = generation;
    second.at_ms = advance_coarse_clock();
    what.second = second;
    // acquire: pairs with grow()
    if (kind != violation_kind::foreign_pointer && slot < used_.load(std::memory_order_acquire)) {
        const lease_block& block = leases_[slot];
        // relaxed (all): what a report says of a slot that others go on using
        const std::uint64_t word = block.word.load(std::memory_order_relaxed);
        const std::uint64_t who = block.who.load(std::memory_order_relaxed);
        const bool out = lease_word::phase(word) == slot_phase::active;
        const std::uint64_t at = out ? block.acquired_at.load(std::memory_order_relaxed)
                                     : block.returned_at.load(std::memory_order_relaxed);
        what.generation_found = lease_word::generation(word);
        what.state_found = out ? slot_state::live : slot_state::free;
        what.first = {
            .action = out ? slot_action::acquired : slot_action::put,
            .site = out ? lease_who::acquire_site(who) : lease_who::return_site(who),
            .thread = out ? lease_who::acquire_thread(who) : lease_who::return_thread(who),
            .at_ms = second.at_ms - static_cast<std::uint32_t>(between(at, stamp()) / 1'000'000)};
        for (std::size_t i = 0; i != block.stack.size(); ++i) {
            what.first_stack[i] = block.stack[i].load(std::memory_order_relaxed);
        }
    }
    walk_stack(what.second_stack);
    return what;
}

}  // namespace ropeway::detail
