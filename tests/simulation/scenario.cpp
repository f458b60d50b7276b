// SPDX-License-Identifier: Apache-2.0
#include "scenario.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "scenario_run.hpp"

namespace ropeway_test {
namespace {

thread_local scenario_counts counts;
/// Set by the guard inside of the pool, where a run must not end.
thread_local const char* violated = nullptr;

}  // namespace

scenario::scenario(scenario_counts& counts) : counts_(counts), d_{params()} {
    ropeway::set_violation_handler(
        [](const ropeway::violation& what, void*) noexcept {
            violated = ropeway::to_string(what.kind).data();
        },
        nullptr);
    violated = nullptr;
}

scenario::~scenario() { ropeway::set_violation_handler(nullptr, nullptr); }

void scenario::check_no_violation() {
    check(violated == nullptr, violated == nullptr ? "" : violated);
}

ropeway::dispatcher_params scenario::params() {
    ropeway::dispatcher_params out;
    out.name = "simulated";
    out.workers.count = 1 + static_cast<unsigned>(random(3));
    out.workers.linger = 2us;
    out.workers.slice = one_in(2) ? 5us : 50us;
    out.workers.replace_after = 1ms;
    out.workers.stall_limit = 2ms;
    out.workers.replacements = static_cast<unsigned>(random(3));
    out.max_subscriptions = 8;
    out.max_publishers = most_feeds;
    out.duplicate_slots = one_in(4) ? 8 * out.workers.count : 0;
    out.kept_slots = 1024;
    out.publishers_help = one_in(4);
    constexpr std::array levels{ropeway::guard_level::off, ropeway::guard_level::guard,
                                ropeway::guard_level::sampled, ropeway::guard_level::full};
    out.guard = levels[random(levels.size())];
    return out;
}

void scenario::run() {
    d_.on_undelivered([this](std::string_view name, const ride& event) {
        const auto [feed, sequence] = where_of(event);
        ++told_[std::string{name}][{feed, sequence}];
    });
    const std::size_t feeds = 1 + random(echo_feed);
    for (std::size_t i = 0; i < most_feeds; ++i) {
        feeds_.push_back(
            d_.publisher("feed" + std::to_string(i), {.market_capacity = 16,
                                                      .critical_capacity = 16,
                                                      .spare_claims = 8,
                                                      .deadline = one_in(3) ? 200us : 20ms}));
    }
    echoes_ = one_in(3);
    join(overflow::block, true);  // somebody wants everything
    for (std::uint64_t more = 1 + random(4); more != 0; --more) {
        join(any_policy(), false);
    }
    const bool late_start = one_in(8);
    if (!late_start) {
        d_.start();
    }
    std::vector<simulation::thread> threads;
    for (std::size_t i = 0; i < feeds; ++i) {
        threads.emplace_back([this, i] { feed(i); });
    }
    if (late_start) {
        pass(up_to(100us));
        d_.start();
    }
    control();
    for (auto& one : threads) {
        one.join();
    }
    end();
}

std::pair<std::size_t, std::uint64_t> scenario::where_of(const ride& event) const {
    for (std::size_t feed = 0; feed < most_feeds; ++feed) {
        for (std::size_t i = 0; i < models_[feed].entries.size(); ++i) {
            if (models_[feed].entries[i].event.id == event.id) {
                return {feed, i + 1};
            }
        }
    }
    simulation::fail("an event was told undelivered that was not published");
}

std::string scenario::all_that_waits() const {
    std::string out;
    const auto stats = d_.stats();
    for (const auto& one : stats.subscriptions) {
        out += one.lag == 0 ? "" : " " + one.name + " lacks " + std::to_string(one.lag) + ",";
    }
    for (const auto& one : consumers_) {
        out += one->inside ? " " + one->model.name() + " is in its handler," : "";
    }
    for (const auto& one : stats.groups) {
        out += " group " + one.name + " runs " + std::to_string(one.running) + " awake " +
               std::to_string(one.awake) + " replaced " + std::to_string(one.replaced_now);
    }
    return out;
}

void scenario::drain_and_stop() {
    // All of it comes without anybody's help: a wake-up that is lost shows here.
    const bool all = simulation::eventually(
        [&] {
            for (const auto& one : d_.stats().subscriptions) {
                if (one.lag != 0) {
                    return false;
                }
            }
            return true;
        },
        500ms);
    check(all, all ? "" : "events wait, and nobody takes them:" + all_that_waits());
    ++counts_.stops;
    report_ = d_.stop(1s);
    check(report_.clean(), "a stop that is not clean: drained " + std::to_string(report_.drained) +
                               ", workers gone " + std::to_string(report_.workers_gone) +
                               ", undelivered " + std::to_string(report_.undelivered) +
                               ", slots outstanding " + std::to_string(report_.slots_outstanding));
}

bool scenario::keeps_latest(const consumer& one, const ropeway::subscription_stats& stats) {
    return one.model.conflates() && !one.model.drops() && !one.model.rests() &&
           stats.dropped_no_key + stats.dropped_no_slot == 0;
}

void scenario::check_end_of(consumer& one, std::uint64_t version) {
    std::array<std::uint64_t, most_feeds> all{};
    for (std::size_t feed = 0; feed < most_feeds; ++feed) {
        all[feed] = models_[feed].entries.size();
    }
    const auto stats = one.handle.stats();
    const std::uint64_t floor = std::max(version, stats.consumer.min_version);
    if (!stopped_ || report_.workers_gone) {
        one.model.check_complete(all, floor, told_[one.model.name()], !stopped_);
    }
    if (stopped_) {
        return;
    }
    if (keeps_latest(one, stats)) {
        one.model.check_latest(all, floor);
    }
    if (one.model.from_start() && !one.model.changed() && !stats.disconnected &&
        !one.model.rests()) {
        one.model.check_counts(stats);
    }
}

void scenario::end() {
    if (!stopped_) {
        drain_and_stop();
    }
    check(report_.workers_gone || stopped_, "workers left behind");
    const std::uint64_t version = d_.routing_version();
    for (const auto& one : consumers_) {
        if (one->handle) {
            check_end_of(*one, version);
        }
    }
    for (const auto& one : consumers_) {
        one->handle.unsubscribe();
    }
    check(stopped_ || report_.slots_outstanding == 0, "slots outstanding");
    check_no_violation();
}

void run_scenario() {
    counts = {};
    scenario one{counts};
    one.run();
}

const scenario_counts& counts_of_scenario() noexcept { return counts; }

}  // namespace ropeway_test
