// SPDX-License-Identifier: Apache-2.0
//
// Supervision: which worker a handler holds, for how long, and what is told of it.
#include "supervisor.hpp"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include <ropeway/consumer/clock.hpp>
#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/pool/site.hpp>

#include "system.hpp"
#include "worker_group.hpp"

namespace ropeway::detail {

void supervisor::start(const std::string& name, round run, void* of) {
    thread_ = std::thread{[this, run, of, name = name.substr(0, 11) + "-sup"] {
        pthread_setname_np(pthread_self(), name.c_str());
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
    auto next = std::chrono::steady_clock::now();
    while (!quit_.load(std::memory_order_seq_cst)) {
        quiet = run(of) ? 0 : quiet + 1;
        if (quiet <= quiet_rounds) {
            next = std::max(next + tick, std::chrono::steady_clock::now());
            std::this_thread::sleep_until(next);
            continue;
        }
        // Parked first, then a last look: who makes something run after that look sees us parked.
        parked_.store(true, std::memory_order_seq_cst);
        if (run(of) || quit_.load(std::memory_order_seq_cst)) {
            if (!parked_.exchange(false, std::memory_order_seq_cst)) {
                wake_.acquire();  // somebody took it away, and wakes us
            }
        } else {
            wake_.acquire();
        }
        quiet = 0;
        next = std::chrono::steady_clock::now();
    }
}

bool engine::supervise() noexcept {
    bool busy = false;
    const std::uint64_t now = tick_clock::now();
    for (unsigned i = 0; i < group_count(); ++i) {
        worker_group& group = *groups_[i];
        // seq_cst: see supervisor::loop().
        busy |= job_word::running(group.jobs.load(std::memory_order_seq_cst)) != 0;
        for (unsigned s = 0; s < group.seat_count; ++s) {
            watch(group, group.seats[s], now);
        }
    }
    return busy;
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
        if (!replace(group, seat, word) && !std::exchange(seat.told_refused, true)) {
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
