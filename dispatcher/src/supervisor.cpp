// SPDX-License-Identifier: Apache-2.0
//
// Supervision: which worker a handler holds, for how long, and what is told of it.
#include "supervisor.hpp"

#include <algorithm>
#include <bit>
#include <mutex>
#include <utility>

#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/pool/site.hpp>
#include <ropeway/pool/tick_clock.hpp>

#include "system.hpp"
#include "worker_group.hpp"

namespace ropeway::detail {
namespace {

/// An episode of losses is over when nothing was lost for so long.
constexpr std::uint64_t episode_gap_ns = 100'000'000;

}  // namespace

void supervisor::start(const std::string& name, round run, void* of) {
    thread_ = thread{[this, run, of, name = name.substr(0, 11) + "-sup"] {
        name_this_thread(name);
        ask_for_short_turns();
        loop(run, of);
    }};
}

void supervisor::stop() noexcept {
    if (!thread_.joinable()) {
        return;
    }
    quit_.store(true, std::memory_order_seq_cst);  // in one order with `parked_`, as unpark()
    unpark();
    thread_.join();
}

void supervisor::loop(round run, void* of) noexcept {
    int quiet = 0;
    auto next = clock::now();
    while (!quit_.load(std::memory_order_seq_cst)) {
        const auto rests_until = run(of);
        quiet = rests_until < next ? 0 : quiet + 1;
        if (quiet <= quiet_rounds) {
            next = std::max(next + tick, clock::now());
            sleep_until(next);
            continue;
        }
        park(run, of);
        next = clock::now();
    }
}

void supervisor::park(round run, void* of) noexcept {
    // Parked first, then a last look: who makes something run after that look sees us parked.
    parked_.store(true, std::memory_order_seq_cst);
    const auto until = run(of);
    const bool goes_on = until <= clock::now() || quit_.load(std::memory_order_seq_cst);
    if (goes_on || (until != clock::time_point::max() && !wake_.try_acquire_until(until))) {
        if (!parked_.exchange(false, std::memory_order_seq_cst)) {
            wake_.acquire();  // somebody took it away, and wakes us
        }
    } else if (until == clock::time_point::max()) {
        wake_.acquire();
    }
}

supervisor::clock::time_point engine::supervise() noexcept {
    bool busy = false;
    const std::uint64_t now = tick_clock::now();
    for (unsigned i = 0; i < group_count(); ++i) {
        worker_group& group = *groups_[i];
        // Acquire pairs with begin_own() and retire().
        const std::uint32_t life = group.life.load(std::memory_order_acquire);
        if (life == worker_group::vacant ||
            (life == worker_group::retiring && end_retired(group))) {
            continue;
        }
        // seq_cst: see supervisor::loop().
        const bool runs = job_word::running(group.jobs.load(std::memory_order_seq_cst)) != 0;
        busy |= life == worker_group::retiring || runs;
        if (runs) {
            group.where->nudge();
        }
        for (unsigned s = 0; s < group.seat_count; ++s) {
            watch(group, group.seats[s], now);
        }
    }
    for (const auto& from : publishers()) {
        from->note_tail(now);
    }
    busy |= pump_intakes();
    busy |= tell_losses();
    const std::uint64_t timer = set_off_timers(now);
    if (busy) {
        return supervisor::clock::time_point::min();
    }
    if (timer == 0) {
        return supervisor::clock::time_point::max();
    }
    const std::uint64_t after = timer > now ? tick_clock::to_ns(timer - now) : 0;
    return supervisor::clock::now() + std::chrono::nanoseconds{after};
}

void engine::watch(worker_group& group, worker_seat& seat, std::uint64_t now) noexcept {
    const std::uint64_t word = seat.word();
    const worker_seat::doing doing = worker_seat::what(word);
    const bool holds = doing >= worker_seat::serving;
    if (seat.told_stalled && (!holds || worker_seat::turn(word) != seat.seen_turn)) {
        seat.told_stalled = false;
        tell({.kind = alert_kind::recovered,
              .subscription = site_text(seat.told_site),
              .group = group.params.name,
              .lasted = std::chrono::nanoseconds{tick_clock::to_ns(now - seat.told_since)}});
    }
    if (!holds) {
        return;
    }
    if (worker_seat::turn(word) != seat.seen_turn) {
        seat.seen_turn = worker_seat::turn(word);
        seat.told_refused = false;
    }
    const std::uint64_t since = seat.since();
    const std::uint64_t lasts = now > since ? now - since : 0;
    const site_id site = seat.site();
    if (lasts > group.replace_ticks && doing != worker_seat::written_off) {
        const std::uint64_t before = group.replaced.get();
        if (!replace(group, seat, word) && group.params.replacements != 0 &&
            !std::exchange(seat.told_refused, true)) {
            tell({.kind = alert_kind::no_more_replacements,
                  .subscription = site_text(site),
                  .group = group.params.name,
                  .lasted = std::chrono::nanoseconds{tick_clock::to_ns(lasts)},
                  .count = group.replacements});
        } else if (group.replaced.get() != before) {
            tell({.kind = alert_kind::replaced,
                  .subscription = site_text(site),
                  .group = group.params.name,
                  .lasted = std::chrono::nanoseconds{tick_clock::to_ns(lasts)},
                  .count = group.replaced.get()});
        }
    }
    if (lasts > group.stall_ticks && !std::exchange(seat.told_stalled, true)) {
        group.stalls.add(1);
        seat.told_site = site;
        seat.told_since = since;
        tell({.kind = alert_kind::stalled,
              .subscription = site_text(site),
              .group = group.params.name,
              .lasted = std::chrono::nanoseconds{tick_clock::to_ns(lasts)}});
    }
}

void engine::something_to_tell() noexcept {
    // Release pairs with tell_losses(): the counts are written.
    to_tell_.fetch_add(1, std::memory_order_release);
    supervisor_->unpark();
}

bool engine::tell_losses() noexcept {
    loss_watch& watch = *losses_;
    const std::uint64_t now = to_tell_.load(std::memory_order_acquire);  // something_to_tell()
    if (watch.seen == now && !watch.again) {
        return false;
    }
    watch.seen = now;
    watch.again = false;
    watch.count = 0;
    watch.now = tick_clock::now();
    {
        const std::lock_guard lock{faces_};  // no subscription ends meanwhile
        for (std::uint64_t left = live(); left != 0; left &= left - 1) {
            const auto number = static_cast<std::uint32_t>(std::countr_zero(left));
            const subscription_core& sub = subscriptions_[number];
            const std::uint64_t times = sub.quarantines.get();
            if (std::exchange(watch.quarantines[number], times) != times && times != 0) {
                watch.found[watch.count++] = {.kind = alert_kind::quarantined,
                                              .subscription = site_text(sub.site),
                                              .lasted = sub.quarantine.retry_after,
                                              .count = times};
            }
        }
        for (const auto& from : publishers()) {
            look_for_loss(*from);
        }
    }
    for (std::size_t i = 0; i < watch.count; ++i) {
        tell(watch.found[i]);
    }
    return watch.again;
}

void engine::look_for_loss(const publisher_core& from) noexcept {
    loss_watch& watch = *losses_;
    if (watch.count + 1 + std::size_t{2} * max_live_subscriptions > watch.found.size()) {
        watch.again = true;  // next round
        return;
    }
    const auto found = [&](const alert& what) { watch.found[watch.count++] = what; };
    if (const std::uint64_t unwanted = from.critical_unwanted();
        std::exchange(watch.unwanted[from.number_], unwanted) != unwanted) {
        found({.kind = alert_kind::critical_unwanted, .publisher = from.name_, .count = unwanted});
    }
    for (std::uint64_t left = live(); left != 0; left &= left - 1) {
        const auto number = static_cast<std::uint32_t>(std::countr_zero(left));
        loss_watch::place& seen =
            watch.places[std::size_t{from.number_} * params_.max_subscriptions + number];
        cursor_block& market = from.rings[0].cursors[number];
        // Relaxed throughout: numbers; their order came with something_to_tell().
        const std::string_view name =
            site_text(static_cast<site_id>(market.site.load(std::memory_order_relaxed)));
        const std::uint64_t lost = market.lost.load(std::memory_order_relaxed);
        const bool losing = market.losing.load(std::memory_order_relaxed) != 0;
        const std::uint64_t first = market.episode_first.load(std::memory_order_relaxed);
        if (losing && (!seen.losing || first != seen.first)) {
            const bool ended = market.disconnected.load(std::memory_order_relaxed) != 0;
            found({.kind = ended ? alert_kind::disconnected : alert_kind::losing,
                   .subscription = name,
                   .publisher = from.name_,
                   .count = lost,
                   .first_sequence = first});
        }
        seen.losing = losing;
        seen.first = first;
        if (std::exchange(seen.lost, lost) != lost) {
            seen.since = watch.now;
        } else if (losing && watch.now - seen.since > tick_clock::from_ns(episode_gap_ns)) {
            market.losing.store(0, std::memory_order_relaxed);  // what follows is another episode
            seen.losing = false;
        }
        const std::uint64_t backlogged = from.stores_[number]->critical.size();
        if (!std::exchange(seen.backlogged, backlogged != 0) && backlogged != 0) {
            found({.kind = alert_kind::backlogged,
                   .subscription = name,
                   .publisher = from.name_,
                   .count = backlogged});
        }
        watch.again |= seen.losing || seen.backlogged;
    }
}

void engine::tell(const alert& what) noexcept {
    alerts_.add(1);
    if (params_.on_alert) {
        params_.on_alert(what);
    }
}

}  // namespace ropeway::detail

namespace ropeway {

std::string_view to_string(alert_kind kind) noexcept {
    switch (kind) {
        case alert_kind::stalled: return "stalled";
        case alert_kind::recovered: return "recovered";
        case alert_kind::replaced: return "replaced";
        case alert_kind::no_more_replacements: return "no more replacements";
        case alert_kind::losing: return "losing market data";
        case alert_kind::disconnected: return "disconnected from market data";
        case alert_kind::backlogged: return "critical events in backlog";
        case alert_kind::quarantined: return "quarantined";
        case alert_kind::critical_unwanted: return "critical event unwanted";
    }
    return "unknown";
}

std::string to_string(const alert& what) {
    std::string out{to_string(what.kind)};
    const auto add = [&out](std::string_view label, std::string_view value) {
        if (!value.empty()) {
            out.append(" ").append(label).append(" \"").append(value).append("\"");
        }
    };
    add("subscription", what.subscription);
    add("group", what.group);
    add("publisher", what.publisher);
    if (what.lasted.count() != 0) {
        out += " after " + std::to_string(what.lasted.count() / 1000) + " us";
    }
    if (what.count != 0) {
        out += ", count " + std::to_string(what.count);
    }
    if (what.first_sequence != 0) {
        out += ", first sequence " + std::to_string(what.first_sequence);
    }
    return out;
}

}  // namespace ropeway
