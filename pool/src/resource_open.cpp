// SPDX-License-Identifier: Apache-2.0
//
// The beginning of an open: what is made, and which thread goes through its steps. That of the
// pool, or while start() waits, for one of several, the one in start().
#include <algorithm>
#include <exception>
#include <new>

#include "resource_parts.hpp"

namespace ropeway::detail {

namespace {

/// Calls `make`. Null: `why` says why.
std::unique_ptr<pooled_resource> made_by(const make_resource& make, resource_error& why) {
    why.kind = resource_error_kind::invalid;
    try {
        auto made = make();
        if (made == nullptr) {
            why.text = "the pool's `make` returned null";
        }
        return made;
    } catch (const std::bad_alloc&) {
        why.text = "out of memory";  // so short that it needs none
    } catch (const std::exception& thrown) {
        why.text = std::string("the pool's `make` threw: ") + thrown.what();
    } catch (...) {
        why.text = "the pool's `make` threw something that is no std::exception";
    }
    return nullptr;
}
}  // namespace

bool resource_core::parts::open_slot(std::uint32_t slot) noexcept {
    task_block& of = tasks_[slot];
    const slot_phase phase =
        lease_word::phase(leases_[slot].word.load(std::memory_order_relaxed));  // relaxed: own
    if (phase != slot_phase::empty) {
        return false;
    }
    if (of.owned == nullptr) {
        resource_error why;
        of.owned = made_by(make_, why);
        if (of.owned == nullptr) {
            failed_open(slot, why);
            return true;  // a try like any other
        }
        // relaxed: published by to_idle()
        leases_[slot].resource.store(of.owned.get(), std::memory_order_relaxed);
    }
    const bool others = count()[slot_phase::opening] != 0;
    set_phase(slot, slot_phase::opening);
    if (!others || !lend_open(slot)) {
        begin(slot, resource_task::open, params_.connect_timeout);
    }
    return true;
}

bool resource_core::parts::lend_open(std::uint32_t slot) noexcept {
    // A clock that a test moves has its own order of steps.
    if (!ticks_ || start_answer_ != 0 || lent_slot_ != no_slot) {
        return false;
    }
    tasks_[slot].task = resource_task::open;
    tasks_[slot].began_at = now_;
    lent_slot_ = slot;
    // release: pairs with open_for_start(): the resource is as this thread left it
    lent_open_.store(slot, std::memory_order_release);
    std::uint32_t waits = start_words::waits;
    // relaxed (both): lent_open_ hands it over. Where it fails, start() goes on: see take_lent().
    if (start_word_.compare_exchange_strong(waits, start_words::help, std::memory_order_relaxed,
                                            std::memory_order_relaxed)) {
        time_.notify(start_word_);
    }
    return true;
}

void resource_core::parts::open_for_start() noexcept {
    // acquire: pairs with lend_open(); release: nobody else takes it
    const std::uint32_t slot = lent_open_.exchange(no_slot, std::memory_order_acq_rel);
    if (slot == no_slot) {
        return;
    }
    constexpr std::chrono::milliseconds glance{20};  // how late an end that begins is seen
    // relaxed: ordered by the exchange
    pooled_resource& what = *leases_[slot].resource.load(std::memory_order_relaxed);
    const auto until = end_of_wait(time_.now(), params_.connect_timeout);
    resource_step step = what.begin(resource_task::open);
    auto end = lent_end::none;
    while (end == lent_end::none) {
        if (step.state == step_state::done || step.state == step_state::failed) {
            end = step.state == step_state::done ? lent_end::well : lent_end::failed;
            break;
        }
        const auto now = time_.now();
        // relaxed: an order
        if (now >= until || start_word_.load(std::memory_order_relaxed) == start_words::ends) {
            end = lent_end::late;
            break;
        }
        const auto again = step.after.count() >= 0 ? end_of_wait(now, step.after) : until;
        const auto pause = std::min({until, again, now + glance});
        const short events = step.state == step_state::wants_read    ? POLLIN
                             : step.state == step_state::wants_write ? POLLOUT
                                                                     : POLLIN | POLLOUT;
        // Without a descriptor only the time is waited for.
        if (time_.poll(step.fd, events, pause) != 0 || time_.now() >= again) {
            step = what.resume();
        }
    }
    lent_end_.store(end, std::memory_order_release);  // pairs with take_lent()
    wake();
}

void resource_core::parts::take_lent() noexcept {
    if (lent_slot_ == no_slot) {
        return;
    }
    const std::uint32_t slot = lent_slot_;
    const std::uint32_t word = start_word_.load(std::memory_order_relaxed);  // relaxed: an order
    if (word != start_words::waits && word != start_words::help &&
        lent_open_.exchange(no_slot, std::memory_order_acq_rel) != no_slot) {
        // start() went on without it: as if it had not been lent
        lent_slot_ = no_slot;
        begin(slot, resource_task::open, params_.connect_timeout);
        return;
    }
    // acquire: pairs with open_for_start(): the resource is as that thread left it
    const lent_end end = lent_end_.exchange(lent_end::none, std::memory_order_acquire);
    if (end != lent_end::none) {
        lent_slot_ = no_slot;
        open_ended(slot, end == lent_end::well, end == lent_end::late);
    }
}

}  // namespace ropeway::detail
