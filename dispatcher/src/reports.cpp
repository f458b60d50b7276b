// SPDX-License-Identifier: Apache-2.0
//
// What the engine tells about itself: lags, statistics, memory.
#include <algorithm>
#include <bit>
#include <mutex>

#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/dispatcher/intake.hpp>
#include <ropeway/pool/site.hpp>
#include <ropeway/pool/tick_clock.hpp>

#include "failure_queue.hpp"
#include "worker_group.hpp"

namespace ropeway::detail {

std::uint64_t engine::lag_of(const subscription_core& sub, ring_class c) const noexcept {
    std::uint64_t lag = 0;
    std::uint64_t oldest = 0;
    for (const auto& from : publishers()) {
        lag += lag_in(*from, sub.number, c, 0, oldest);
        if (c == ring_class::critical) {
            lag += from->stores_[sub.number]->critical.size();
        }
    }
    return lag;
}

subscription_stats engine::stats_of(const subscription_core& sub) const {
    subscription_stats out;
    out.name = sub.name;
    out.consumer = sub.face.stats(sub.face.object);
    for (const auto& from : publishers()) {
        const cursor_block& block = from->rings[0].cursors[sub.number];
        // Relaxed throughout: numbers for a reader, exact once the publisher is idle.
        out.dropped += block.lost.load(std::memory_order_relaxed);
        out.rescues += block.rescues.load(std::memory_order_relaxed);
        out.first_dropped = out.first_dropped != 0
                                ? out.first_dropped
                                : block.first_lost.load(std::memory_order_relaxed);
        out.last_dropped =
            std::max(out.last_dropped, block.last_lost.load(std::memory_order_relaxed));
        const rescue_store& store = *from->stores_[sub.number];
        for (std::size_t k = 0; k < max_event_kinds; ++k) {
            out.dropped_by_kind[k] += block.lost_by_kind[k].load(std::memory_order_relaxed);
            out.conflated_by_kind[k] +=
                store.folded_by_kind[k].get() + store.folded_late_by_kind[k].get();
        }
        out.conflated += store.folded.get() + store.folded_late.get();
        out.dropped_no_key += store.no_cell.get();
        out.dropped_no_slot += store.no_slot.get();
        out.backlog += store.critical.size();
        out.backlog_peak = std::max(out.backlog_peak, store.high_water.get());
        out.backlogged += store.backlogged.get();
    }
    for (std::size_t k = 0; k < max_event_kinds; ++k) {
        const std::uint64_t missed = sub.missed[k].get();
        out.dropped += missed;
        out.dropped_by_kind[k] += missed;
    }
    out.quarantines = sub.quarantines.get();
    out.quarantined = sub.quarantined_until.load(std::memory_order_relaxed) != 0;
    out.disconnected =
        sub.market_data.load(std::memory_order_relaxed) != subscription_core::connected;
    out.high_water = sub.high_water.get();
    const std::uint64_t now = tick_clock::now();
    std::uint64_t oldest = 0;
    for (const auto& from : publishers()) {
        for (const ring_class c : {ring_class::market, ring_class::critical}) {
            static_cast<void>(lag_in(*from, sub.number, c, now, oldest));
        }
    }
    out.lag_ns = tick_clock::to_ns(oldest);
    out.starved = sub.starved.get();
    out.slices = sub.slices.get();
    out.lag = lag_of(sub, ring_class::market) + lag_of(sub, ring_class::critical);
    return out;
}

std::size_t engine::snapshot(std::span<subscription_counters> out) const noexcept {
    std::size_t count = 0;
    const std::uint64_t now = tick_clock::now();
    for (std::uint64_t left = live(); left != 0 && count != out.size(); left &= left - 1) {
        const auto number = static_cast<std::uint32_t>(std::countr_zero(left));
        const subscription_core& sub = subscriptions_[number];
        subscription_counters& one = out[count++];
        one = {.number = number};
        for (std::size_t k = 0; k < max_event_kinds; ++k) {
            one.done += sub.cells.done[k].get();
            one.filtered += sub.cells.filtered[k].get();
            one.failed += sub.cells.failed[k].get();
            one.dropped += sub.missed[k].get();
        }
        one.slices = sub.slices.get();
        one.high_water = sub.high_water.get();
        std::uint64_t oldest = 0;
        for (const auto& from : publishers()) {
            const cursor_block& market = from->rings[0].cursors[number];
            // Relaxed throughout: numbers and a name.
            one.name = site_text(static_cast<site_id>(market.site.load(std::memory_order_relaxed)));
            one.dropped += market.lost.load(std::memory_order_relaxed);
            one.rescues += market.rescues.load(std::memory_order_relaxed);
            one.conflated += from->stores_[number]->folded.get();
            one.conflated += from->stores_[number]->folded_late.get();
            one.backlog += from->stores_[number]->critical.size();
            for (const ring_class c : {ring_class::market, ring_class::critical}) {
                const std::uint64_t lag = lag_in(*from, number, c, now, oldest);
                one.lag += lag;
            }
        }
        one.lag += one.backlog;
        one.lag_ns = tick_clock::to_ns(oldest);
    }
    return count;
}

std::uint64_t engine::lag_in(const publisher_core& from, std::uint32_t number, ring_class c,
                             std::uint64_t now, std::uint64_t& oldest) const noexcept {
    const cursor_block& block = from.rings[index_of(c)].cursors[number];
    // Acquire on both: a cursor never seems ahead of the tail it was read before.
    const std::uint64_t word = block.cursor.load(std::memory_order_acquire);
    if ((word & cursor_word::closed_bit) != 0 || word == cursor_word::join ||
        block.left_behind.load(std::memory_order_acquire) == cursor_block::abandoned) {
        return 0;
    }
    const std::uint64_t at = cursor_word::position(word);
    const std::uint64_t tail =
        tail_word::extend(at, tail_word::count(from.tail.load(std::memory_order_acquire), c));
    if (tail == at) {
        return 0;
    }
    if (now != 0) {
        oldest = std::max(oldest, from.waiting_since(c, at, now));
    }
    return tail - at;
}

fanout_stats engine::fanout() const noexcept {
    fanout_stats out;
    for (const auto& from : publishers()) {
        from->add_fanout(out);
    }
    return out;
}

dispatcher_stats engine::stats() const {
    dispatcher_stats out;
    for (std::uint32_t i = 0; i < params_.max_subscriptions; ++i) {
        const std::lock_guard lock{faces_};
        if ((live() & (std::uint64_t{1} << i)) != 0) {
            out.subscriptions.push_back(stats_of(subscriptions_[i]));
        }
    }
    for (const auto& from : publishers()) {
        out.publishers.push_back(from->stats());
    }
    const std::uint32_t intakes = intake_count_.load(std::memory_order_acquire);  // add_intake()
    for (std::uint32_t i = 0; i < intakes; ++i) {
        out.intakes.push_back(intakes_[i]->stats());
    }
    out.routing_version = version();
    out.duplicates_out = duplicates_->outstanding();
    out.duplicate_slots = duplicates_->capacity();
    out.kept_out = kept_->outstanding();
    out.kept_slots = kept_->capacity();
    out.failures_recorded = failures_->recorded();
    out.failures_dropped = failures_->dropped();
    for (unsigned i = 0; i < group_count(); ++i) {
        const worker_group& group = *groups_[i];
        const std::lock_guard lock{faces_};  // an own thread's group changes its name under it
        if (group.life.load(std::memory_order_relaxed) == worker_group::vacant) {  // relaxed: ditto
            continue;
        }
        group_stats& one = out.groups.emplace_back();
        one.name = group.params.name;
        // Relaxed throughout: numbers for a reader.
        const std::uint64_t jobs = group.jobs.load(std::memory_order_relaxed);
        one.workers = group.workers;
        one.running = job_word::running(jobs);
        one.awake = group.awake.load(std::memory_order_relaxed);
        one.wakes = group.wakes.load(std::memory_order_relaxed);
        one.replaced = group.replaced.get();
        one.replaced_now =
            job_word::allowed(jobs) - std::min(job_word::allowed(jobs), group.workers);
        one.stalls = group.stalls.get();
        out.workers_awake += one.awake;
        out.wakes += one.wakes;
    }
    out.alerts = alerts_.get();
    return out;
}

std::vector<memory_use> engine::memory() const {
    std::vector<memory_use> out;
    const std::lock_guard lock{registry_};  // nobody joins meanwhile, and changes a store
    out.push_back({duplicates_->name(), duplicates_->memory().total_bytes()});
    out.push_back({kept_->name(),
                   kept_->memory().total_bytes() + kept_->capacity() * sizeof(kept_span_cell)});
    out.push_back(
        {params_.name + " subscriptions", params_.max_subscriptions * sizeof(subscription_core)});
    out.push_back(
        {params_.name + " failure records", params_.failure_capacity * sizeof(failure_record)});
    for (const auto& from : intakes_) {
        if (from != nullptr) {
            out.push_back({from->pool().name(), from->pool().memory().total_bytes()});
        }
    }
    for (const auto& from : publishers()) {
        const publisher_core& core = *from;
        std::size_t tables = core.slots_.guard_memory_bytes() + sizeof(publisher_core);
        for (const ring& places : core.rings) {
            tables +=
                places.capacity * (sizeof(atomic<std::uint32_t>) + sizeof(atomic<std::uint64_t>)) +
                params_.max_subscriptions * sizeof(cursor_block);
        }
        for (const auto& store : core.stores_) {
            tables += store == nullptr ? 0 : store->bytes();
        }
        out.push_back({core.slots_.name() + " slots", core.slots_.slot_memory_bytes()});
        out.push_back({core.slots_.name() + " rings and cursors", tables});
    }
    return out;
}

}  // namespace ropeway::detail

namespace ropeway {

double dispatcher_stats::pool_use() const noexcept {
    std::uint64_t used = duplicates_out;
    std::uint64_t all = duplicate_slots;
    for (const publisher_stats& from : publishers) {
        used += from.in_rings + from.claims_out;
        all += from.slots;
    }
    return all == 0 ? 0.0 : static_cast<double>(used) / static_cast<double>(all);
}

}  // namespace ropeway
