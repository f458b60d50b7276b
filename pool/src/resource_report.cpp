// SPDX-License-Identifier: Apache-2.0
//
// What a pool says of itself: scans of the slot words and sums of counters. Nothing here stops
// anybody.
#include <algorithm>
#include <new>

#include <ropeway/pool/thread_number.hpp>

#include "resource_parts.hpp"

namespace ropeway::detail {

slot_counts resource_core::parts::count() const noexcept {
    slot_counts counts;
    const std::uint32_t used = used_.load(std::memory_order_acquire);  // pairs with grow()
    for (std::uint32_t i = 0; i != used; ++i) {
        // relaxed: each slot at a moment of the scan
        const std::uint64_t word = leases_[i].word.load(std::memory_order_relaxed);
        ++counts.of[word & 7];
    }
    return counts;
}

void resource_core::parts::raise_peak(std::uint32_t active) const noexcept {
    // relaxed (both): a number
    std::uint32_t seen = peak_.load(std::memory_order_relaxed);
    while (active > seen && !peak_.compare_exchange_weak(seen, active, std::memory_order_relaxed,
                                                         std::memory_order_relaxed)) {
    }
}

resource_snapshot resource_core::parts::snapshot() const noexcept {
    resource_snapshot now;
    const std::uint32_t used = used_.load(std::memory_order_acquire);  // pairs with grow()
    slot_counts counts;
    // relaxed, but for one: numbers of one scan
    for (std::uint32_t i = 0; i != used; ++i) {
        const lease_block& slot = leases_[i];
        const std::uint64_t word = slot.word.load(std::memory_order_relaxed);
        ++counts.of[word & 7];
        now.overdue += (word & lease_word::overdue) != 0 ? 1U : 0U;
        // acquire: pairs with give_back(): the leases that are counted as released are seen below
        now.released += slot.released.load(std::memory_order_acquire);
        const std::uint64_t acquired = slot.acquired.load(std::memory_order_relaxed);
        now.acquired += acquired;
        now.immediate += acquired - std::min(acquired, slot.waited.load(std::memory_order_relaxed));
    }
    now.idle = counts.idle();
    now.active = counts.active();
    now.total = now.idle + now.active;
    now.opening = counts[slot_phase::opening];
    now.closing = counts[slot_phase::closing];
    now.quarantined = counts[slot_phase::quarantined];
    raise_peak(now.active);
    now.peak_active = peak_.load(std::memory_order_relaxed);
    now.waiting = static_cast<std::uint32_t>(door_.load(std::memory_order_relaxed));
    now.min_size = min_size_.load(std::memory_order_relaxed);
    now.max_size = max_size_.load(std::memory_order_relaxed);
    now.recent_leaks = recent_leaks_.load(std::memory_order_relaxed);
    now.state = state_.load(std::memory_order_relaxed);
    now.liveness = liveness_now_.load(std::memory_order_relaxed);
    now.timeouts = timeouts_.load(std::memory_order_relaxed);
    now.refused = refused_.load(std::memory_order_relaxed);
    now.opened = opened_.load(std::memory_order_relaxed);
    now.open_failed = open_failed_.load(std::memory_order_relaxed);
    now.leaks = leaks_.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i != close_reasons; ++i) {
        now.closed[i] = closed_[i].load(std::memory_order_relaxed);
    }
    now.last_error = last_kind_.load(std::memory_order_relaxed);
    add_ages(now);
    return now;
}

void resource_core::parts::add_ages(resource_snapshot& now) const noexcept {
    using std::chrono::nanoseconds;
    const std::int64_t clock = time_.now().time_since_epoch().count();
    // relaxed (all): numbers
    const std::int64_t started = started_at_.load(std::memory_order_relaxed);
    const std::int64_t error = error_at_.load(std::memory_order_relaxed);
    const std::int64_t check = checked_at_.load(std::memory_order_relaxed);
    now.age = nanoseconds{started == 0 ? 0 : clock - started};
    now.since_error = nanoseconds{error < 0 ? -1 : std::max<std::int64_t>(clock - error, 0)};
    now.since_check = nanoseconds{check < 0 ? -1 : std::max<std::int64_t>(clock - check, 0)};
    const auto slice =
        static_cast<std::uint64_t>(nanoseconds{clock} / std::chrono::seconds{10}) & 0xFF'FFFF;
    std::uint64_t longest = 0;
    for (const auto& cell : wait_slices_) {
        const std::uint64_t value = cell.load(std::memory_order_relaxed);
        const std::uint64_t back = (slice - (value >> 40)) & 0xFF'FFFF;
        if (value != 0 && back < wait_slices_.size()) {
            longest = std::max(longest, value & ((std::uint64_t{1} << 40) - 1));
        }
    }
    now.longest_wait_60s = std::chrono::microseconds{longest};
}

resource_times resource_core::parts::times() const {
    resource_times out;
    // Without figures_lock_, which is for the writers, and which those who acquire take.
    out.wait = waits_.snapshot();
    out.create = creates_.snapshot();
    out.validate = validates_.snapshot();
    const std::uint64_t immediate = snapshot().immediate;
    if (immediate != 0) {
        out.wait.record(0, immediate);  // taken at once: no wait was measured
    }
    out.hold = holds_.sum();
    return out;
}

lease_holder resource_core::parts::holder_of(std::uint32_t slot, std::uint64_t now) const {
    const lease_block& block = leases_[slot];
    // relaxed (all): a report on a lease that goes on; the caller looks at the word again
    const std::uint64_t who = block.who.load(std::memory_order_relaxed);
    const std::uint64_t at = block.acquired_at.load(std::memory_order_relaxed);
    lease_holder holder;
    holder.resource = block.number.load(std::memory_order_relaxed);
    if (!is_lent(block)) {
        return holder;
    }
    holder.site = site_text(lease_who::acquire_site(who));
    holder.thread = thread_text(lease_who::acquire_thread(who));
    holder.held = std::chrono::nanoseconds{between(at, now)};
    const std::uint64_t word = block.word.load(std::memory_order_relaxed);
    holder.overdue = (word & lease_word::overdue) != 0;
    for (const auto& frame : block.stack) {
        if (const void* const address = frame.load(std::memory_order_relaxed)) {
            holder.stack.push_back(address);
        }
    }
    return holder;
}

std::vector<lease_holder> resource_core::parts::holders() const {
    std::vector<lease_holder> all;
    const std::uint64_t now = stamp();
    const std::uint32_t used = used_.load(std::memory_order_acquire);  // pairs with grow()
    for (std::uint32_t i = 0; i != used; ++i) {
        // acquire (both): the stamps between them are of one lease if the word stayed
        const std::uint64_t before = leases_[i].word.load(std::memory_order_acquire);
        if (lease_word::phase(before) != slot_phase::active || !is_lent(leases_[i])) {
            continue;
        }
        lease_holder holder = holder_of(i, now);
        const std::uint64_t after = leases_[i].word.load(std::memory_order_acquire);
        if (lease_word::generation(before) == lease_word::generation(after) &&
            lease_word::phase(after) == slot_phase::active) {
            all.push_back(std::move(holder));
        }
    }
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.held > b.held; });
    return all;
}

leak_report resource_core::parts::leaks() const {
    ropeway::leak_report report;
    report.pool = params_.name;
    const std::uint64_t now = stamp();
    const std::uint32_t used = used_.load(std::memory_order_acquire);  // pairs with grow()
    for (std::uint32_t i = 0; i != used; ++i) {
        const lease_block& block = leases_[i];
        // relaxed (all): a look at leases that others hold
        const std::uint64_t word = block.word.load(std::memory_order_relaxed);
        if (lease_word::phase(word) != slot_phase::active || !is_lent(block)) {
            continue;
        }
        const std::uint64_t who = block.who.load(std::memory_order_relaxed);
        const std::uint64_t at = block.acquired_at.load(std::memory_order_relaxed);
        const std::uint16_t site = lease_who::acquire_site(who);
        ++report.outstanding;
        auto of = std::find_if(report.sites.begin(), report.sites.end(),
                               [&](const leak_site& each) { return each.site == site; });
        if (of == report.sites.end()) {
            of = report.sites.insert(of, leak_site{});
            of->site = site;
            of->where = site_text(site);
        }
        ++of->count;
        const auto age = static_cast<std::uint32_t>(between(at, now) / 1'000'000);
        if (of->count == 1 || age > of->oldest_ms) {
            of->oldest_ms = age;
            of->oldest_slot = i;
            of->thread_number = lease_who::acquire_thread(who);
            of->thread = thread_text(of->thread_number);
        }
    }
    std::stable_sort(report.sites.begin(), report.sites.end(),
                     [](const leak_site& a, const leak_site& b) { return a.count > b.count; });
    return report;
}

void resource_core::parts::report_leaks() const noexcept {
    constexpr std::size_t most = 16;
    const auto tell = [this](std::uint32_t slot, std::size_t count) {
        // relaxed: whoever still holds a lease is wrong already
        const std::uint64_t word = leases_[slot].word.load(std::memory_order_relaxed);
        violation what =
            describe(violation_kind::leak, slot, lease_word::generation(word),
                     {.action = slot_action::none, .site = 0, .thread = thread_number()});
        what.count = count;
        report_violation(what, params_.on_violation);
    };
    const std::uint32_t out = count().of[static_cast<std::size_t>(slot_phase::active)];
    if (out == 0) {
        return;
    }
    try {
        const ropeway::leak_report report = leaks();
        for (std::size_t i = 0; i != std::min(report.sites.size(), most); ++i) {
            tell(report.sites[i].oldest_slot, report.sites[i].count);
        }
    } catch (const std::bad_alloc&) {
        tell(0, out);  // without the sites
    }
}

}  // namespace ropeway::detail
