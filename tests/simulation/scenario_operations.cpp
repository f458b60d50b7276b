// SPDX-License-Identifier: Apache-2.0
//
// The scenario's operations: publishers at work, and one thread that changes what it can.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "scenario_run.hpp"

namespace ropeway_test {
namespace {

constexpr int ops_of_feed = 70;
constexpr unsigned least_ops = 200;
constexpr std::uint64_t ops_of_control = 30;

}  // namespace

void scenario::feed(std::size_t feed) {
    for (int op = 0; op < ops_of_feed || counts_.all() < least_ops; ++op) {
        if (one_in(20)) {
            ++counts_.laps;
            for (std::uint64_t burst = 17 + random(20); burst != 0; --burst) {
                if (!publish(feed, 1)) {
                    return;
                }
            }
        } else if (one_in(10)) {
            static_cast<void>(feeds_[feed].claim());  // and not published after all
        } else if (!publish(feed, one_in(5) ? 2 + random(6) : 1)) {
            return;
        }
        if (one_in(4)) {
            pass(up_to(10us));
        }
    }
}

bool scenario::publish(std::size_t feed, std::size_t packet) {
    feed_model& model = models_[feed];
    std::vector<ropeway::claimed<ride>> slots;
    for (std::size_t i = 0; i < packet; ++i) {
        auto slot = feeds_[feed].claim();
        if (!slot) {
            break;
        }
        fill(feed, slot);
        slots.push_back(std::move(slot));
    }
    if (slots.empty()) {
        pass(up_to(20us));
        return true;
    }
    counts_.publishes += static_cast<unsigned>(slots.size());
    const std::uint64_t before = model.entries.size() - slots.size();
    ropeway::publish_result result;
    if (slots.size() != 1) {
        result = feeds_[feed].publish_n(slots);
    } else if (one_in(8)) {
        result = feeds_[feed].try_publish(std::move(slots.front()));
    } else if (one_in(24)) {
        const auto report = feeds_[feed].publish_and_wait(std::move(slots.front()), {}, 2ms);
        result = report.published;
    } else {
        result = feeds_[feed].publish(std::move(slots.front()));
    }
    check(result.count <= slots.size(), "more sent than there were");
    check(result.count == 0 || result.sequence == before + result.count,
          "a sequence that is not the next");
    if (result.count != slots.size()) {
        check(result.status == ropeway::publish_status::full ||
                  result.status == ropeway::publish_status::backlog_full ||
                  result.status == ropeway::publish_status::halted ||
                  result.status == ropeway::publish_status::stopped,
              "a publish that failed for no reason");
        for (std::size_t i = result.count; i < slots.size(); ++i) {
            check(static_cast<bool>(slots[i]), "a claim that was neither sent nor left");
        }
    }
    model.entries.resize(before + result.count);
    model.committed = model.entries.size();
    check(stopped_ || result.status != ropeway::publish_status::stopped,
          "stopped, and nobody has stopped it");
    return result.status != ropeway::publish_status::stopped;
}

void scenario::fill(std::size_t feed, ropeway::claimed<ride>& slot) {
    constexpr std::array kinds{event_kind::trade,
                               event_kind::quote,
                               event_kind::quote,
                               event_kind::trade,
                               event_kind::quote,
                               event_kind::quote,
                               event_kind::execution_report,
                               event_kind::control_ack};
    slot->kind = kinds[random(kinds.size())];
    slot->instrument = static_cast<std::uint32_t>(random(instruments + 1));
    slot->id = ++next_id_;
    slot->before = 0;
    simulation::point();
    slot->check = slot->sum();
    models_[feed].entries.push_back({.event = *slot, .critical = ropeway::is_critical(slot->kind)});
}

void scenario::control() {
    // Some runs do little else than let subscriptions come and go.
    const bool churns = one_in(5);
    const std::uint64_t ops = churns ? 3 * ops_of_control : ops_of_control;
    const std::uint64_t stop_at = one_in(8) ? random(ops) : ops;
    for (std::uint64_t op = 0; op < stop_at; ++op) {
        pass(up_to(churns ? 8us : 40us));
        switch (churns ? 3 + random(2) : random(10)) {
            case 0:
            case 1: flip(); break;
            case 2: flip_and_wait(); break;
            case 3: come(); break;
            case 4: go(); break;
            case 5: change_interest(); break;
            case 6: change_policy(); break;
            case 7: halt(); break;
            case 8: raise_minimum(); break;
            default: look(); break;
        }
    }
    if (stop_at != ops) {
        const bool goes_on = simulation::eventually([this] { return counts_.all() >= least_ops; });
        check(goes_on, goes_on ? "" : "publishers stand still:" + all_that_waits());
        ++counts_.stops;
        stopped_ = true;
        report_ = d_.stop(up_to(300us));
    }
}

void scenario::flip() {
    ++counts_.flips;
    static_cast<void>(d_.flip());
}

void scenario::flip_and_wait() {
    ++counts_.flips;
    const auto flipped = d_.flip_and_wait(one_in(3) ? 20us : 20ms);
    if (flipped.acknowledged) {
        for (const auto& one : consumers_) {
            one->model.floor(flipped.version);
            check(!one->inside || one->version_inside >= flipped.version,
                  one->model.name() + ": still handles a stale event after the flip");
        }
        floor_ = std::max(floor_, flipped.version);
    }
}

consumer* scenario::some_consumer() {
    std::vector<consumer*> can;
    for (const auto& one : consumers_) {
        if (one != consumers_.front() && one->handle) {
            can.push_back(one.get());
        }
    }
    return can.empty() ? nullptr : can[random(can.size())];
}

void scenario::come() {
    if (d_.stats().subscriptions.size() < 6) {
        join(any_policy(), false);
        consumers_.back()->model.floor(floor_);
    }
}

void scenario::go() {
    consumer* const one = some_consumer();
    if (one == nullptr) {
        return;
    }
    ++counts_.leaves;
    std::array<std::uint64_t, most_feeds> cut{};
    for (std::size_t feed = 0; feed < most_feeds; ++feed) {
        cut[feed] = models_[feed].committed;
    }
    const std::uint64_t version = d_.routing_version();
    const bool drains = one_in(2);
    one->ending = true;
    const bool latest = keeps_latest(*one, one->handle.stats());
    const auto report = one->handle.unsubscribe(
        drains ? ropeway::leaving::drain : ropeway::leaving::discard, one_in(4) ? 50us : 50ms);
    if (!report.ended) {
        return;  // its handler may still be called once
    }
    one->model.ends();
    check(!one->inside, one->model.name() + ": ended inside of its handler");
    if (report.drained) {
        check(report.discarded == 0, one->model.name() + ": drained, and discarded");
        const std::uint64_t floor = std::max(version, d_.routing_version());
        one->model.check_complete(cut, floor, {}, true);
        if (latest) {
            one->model.check_latest(cut, floor);
        }
    }
}

void scenario::change_interest() {
    consumer* const one = some_consumer();
    if (one == nullptr) {
        return;
    }
    ++counts_.changes;
    const wish before = one->model.now();
    const bool conflates = one->model.conflates();
    const wish next = any_wish(conflates ? overflow::conflate : overflow::block, false);
    one->model.will_want(next);
    const auto status = one->handle.set_interest(next.kinds, next.instruments, 5ms);
    if (status != ropeway::change_status::done) {
        one->model.will_want(before);
    }
    one->model.wants_now();
}

void scenario::change_policy() {
    consumer* const one = some_consumer();
    if (one == nullptr || one->model.disconnects()) {
        return;
    }
    ++counts_.changes;
    const overflow next = one_in(4)   ? overflow::disconnect
                          : one_in(2) ? overflow::block
                                      : overflow::drop_oldest;
    one->model.uses(next);
    static_cast<void>(one->handle.set_policy(next, 5ms));
}

void scenario::halt() {
    const std::size_t feed = random(feeds_.size());
    feeds_[feed].halt();
    pass(up_to(20us));
    feeds_[feed].resume();
}

void scenario::raise_minimum() {
    consumer* const one = some_consumer();
    if (one == nullptr) {
        return;
    }
    ++counts_.changes;
    const std::uint64_t least = d_.routing_version();
    one->handle.update_min_version(least);
    one->model.floor(least);
}

void scenario::look() {
    std::array<ropeway::subscription_counters, 8> some{};
    static_cast<void>(d_.snapshot(some));
    for (const auto& one : d_.stats().subscriptions) {
        check(one.lag < 100'000, "a lag that cannot be");
    }
}

}  // namespace ropeway_test
