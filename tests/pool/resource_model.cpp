// SPDX-License-Identifier: Apache-2.0
//
// The sequential model of a resource pool; see the header.
#include "resource_model.hpp"

#include <algorithm>

namespace ropeway_test {

using ropeway::close_reason;
using ropeway::resource_error_kind;
using ropeway::resource_event;
using ropeway::resource_event_kind;
using ropeway::resource_snapshot;

void resource_model::begins(model_waiter who) {
    // Priority ones stand before the rest, each class in the order of its calls.
    const auto place = who.priority ? std::find_if(queue_.begin(), queue_.end(),
                                                   [](const auto& w) { return !w.priority; })
                                    : queue_.end();
    queue_.insert(place, who);
}

void resource_model::queues(std::uint64_t who) {
    for (model_waiter& one : queue_) {
        one.queued = one.queued || one.id == who;
    }
}

bool resource_model::overtakes(const model_waiter& later, const model_waiter& first,
                               resource_clock_point now) const {
    // Whose time is over at this very instant is no longer waited for.
    if (!first.queued || first.deadline <= now) {
        return false;
    }
    // One with priority that came later is not waited for by whom one was handed already, and who
    // is about to probe it.
    const bool probes = params_.validate != ropeway::validation::passive_only;
    return first.id < later.id || (later.queued && !probes);
}

void resource_model::leaves_queue(std::uint64_t who) {
    expect(std::erase_if(queue_, [&](const auto& w) { return w.id == who; }) == 1,
           "call " + std::to_string(who) + " ended twice");
}

void resource_model::gets(std::uint64_t who, std::uint64_t number, resource_clock_point now,
                          bool fair) {
    const auto me =
        std::find_if(queue_.begin(), queue_.end(), [&](const auto& w) { return w.id == who; });
    expect(me != queue_.end(), "call " + std::to_string(who) + " ended twice");
    expect(now <= me->deadline, "call " + std::to_string(who) + " got it too late");
    for (auto one = queue_.begin(); one != me; ++one) {
        if (fair && overtakes(*me, *one, now)) {
            overtaken_.push_back({.first = one->id, .by = who, .when = now});
        }
    }
    std::erase_if(overtaken_, [&](const auto& one) { return one.first == who && one.when == now; });
    // Who was handed one before, and was probing it, may have it.
    const bool probes = params_.validate != ropeway::validation::passive_only;
    expect(!closed_ || !me->queued || probes,
           "call " + std::to_string(who) + " was served after the end");
    leaves_queue(who);
    lend(number, now);
}

void resource_model::gets_at_once(std::uint64_t number, resource_clock_point now) {
    expect(!suspended_ && !closed_, "try_acquire() got one from a pool that gives none");
    lend(number, now);
}

void resource_model::lend(std::uint64_t number, resource_clock_point now) {
    expect(held_.emplace(number, now).second,
           "connection " + std::to_string(number) + " is leased twice");
    auto [known, first] = connections_.try_emplace(number);
    if (first) {
        known->second.opened_at = now;
    }
    ++known->second.leases;
    expect(params_.max_uses == 0 || known->second.leases <= params_.max_uses,
           "connection " + std::to_string(number) + " was lent " +
               std::to_string(known->second.leases) + " times, more than max_uses");
    if (params_.max_age.count() != 0) {
        // Since its first lease, which is after its open: a bound that it must keep all the more.
        expect(now - known->second.opened_at <= params_.max_age + params_.maintenance_interval,
               "connection " + std::to_string(number) + " is lent beyond max_age");
    }
    ++acquired_;
}

void resource_model::fails(std::uint64_t who, resource_error_kind kind, resource_clock_point now) {
    const std::string name = "call " + std::to_string(who);
    const auto place = std::find_if(queue_.begin(), queue_.end(),
                                    [&](const model_waiter& w) { return w.id == who; });
    expect(place != queue_.end(), name + " ended twice");
    const resource_clock_point deadline = place->deadline;
    leaves_queue(who);
    switch (kind) {
        case resource_error_kind::queue_full:
            // Who probed one in vain comes to the queue later.
            expect(queue_.size() >= params_.max_waiters && now < deadline,
                   name + " found the queue full, in which " + std::to_string(queue_.size()) +
                       " wait");
            ++refused_;
            return;
        case resource_error_kind::suspended:
            expect(suspended_ && now <= deadline, name + " says suspended");
            ++refused_;
            return;
        case resource_error_kind::closed:
            expect(closed_, name + " says closed");
            ++refused_;
            return;
        case resource_error_kind::authentication:
        case resource_error_kind::invalid: expect(fail_fast_, name + " failed fast"); return;
        default:
            expect(now == deadline, name + " failed (" + std::string{to_string(kind)} + ") " +
                                        std::to_string((deadline - now).count()) +
                                        " ns before its deadline");
            ++timeouts_;
    }
}

void resource_model::gives_back(std::uint64_t number, resource_clock_point now) {
    const auto found = held_.find(number);
    expect(found != held_.end(), "gives back what is not held");
    count_leak(now - found->second, leaks_must_, leaks_may_);
    held_.erase(found);
    ++released_;
}

void resource_model::count_leak(std::chrono::nanoseconds held, std::uint64_t& must,
                                std::uint64_t& may) const {
    if (params_.leak_timeout.count() == 0) {
        return;
    }
    must += held > params_.leak_timeout + params_.maintenance_interval ? 1U : 0U;
    may += held >= params_.leak_timeout ? 1U : 0U;
}

std::pair<std::uint64_t, std::uint64_t> resource_model::leaks(resource_clock_point now) const {
    std::uint64_t must = leaks_must_;
    std::uint64_t may = leaks_may_;
    for (const auto& [number, since] : held_) {
        count_leak(now - since, must, may);
    }
    return {must, may};
}

void resource_model::resized(std::uint32_t min_size, std::uint32_t max_size) {
    params_.min_size = min_size;
    params_.max_size = max_size;
    largest_max_ = std::max(largest_max_, max_size);
}

void resource_model::told(const resource_event& event, resource_clock_point now) {
    switch (event.kind) {
        case resource_event_kind::opened:
        case resource_event_kind::closed: told_of_resource(event, now); break;
        case resource_event_kind::leak: ++leaks_told_; break;
        case resource_event_kind::leak_returned:
            expect(++leaks_over_ <= leaks_told_, "more leases returned after all than leaked");
            break;
        case resource_event_kind::state_changed:
            expect(event.from_state == state_, "a change of state from another than the last");
            expect(event.from_state != event.to_state, "a change of state to itself");
            expect(may_follow(event.from_state, event.to_state),
                   "an illegal change of state: " + std::string{to_string(event.from_state)} +
                       " to " + std::string{to_string(event.to_state)});
            state_ = event.to_state;
            break;
        case resource_event_kind::liveness_changed:
            expect(event.from_liveness == liveness_, "a change of liveness from another");
            expect(event.from_liveness != event.to_liveness, "a change of liveness to itself");
            liveness_ = event.to_liveness;
            break;
        default: break;
    }
}

void resource_model::told_of_resource(const resource_event& event, resource_clock_point now) {
    const std::string name = "resource " + std::to_string(event.resource);
    if (event.kind == resource_event_kind::opened) {
        expect(event.resource != 0 && seen_.emplace(event.resource, true).second,
               name + " was opened twice");
        open_.emplace(event.resource, now);
        ++opened_told_;
        return;
    }
    const auto found = open_.find(event.resource);
    expect(found != open_.end(), name + " was closed (" + std::string{to_string(event.reason)} +
                                     ") while it was not open");
    open_.erase(found);
    ++closed_told_;
}

void resource_model::check(const resource_snapshot& found, resource_clock_point now) const {
    expect_equal(found.total, found.idle + found.active, "total");
    if (!overtaken_.empty()) {
        throw model_failure{"call " + std::to_string(overtaken_.front().by) + " came before call " +
                            std::to_string(overtaken_.front().first) + ", which stood first"};
    }
    expect_equal(found.acquired, acquired_, "acquired");
    expect_equal(found.released, released_, "released");
    expect_equal(found.timeouts, timeouts_, "timeouts");
    expect_equal(found.refused, refused_, "refused");
    expect_equal(found.min_size, params_.min_size, "min_size");
    expect_equal(found.max_size, params_.max_size, "max_size");
    expect(found.active >= held_.size(), "active is less than what is held");
    expect(found.waiting <= queue_.size(), "more wait than the model knows of");
    expect(found.peak_active >= found.active, "peak_active is below active");
    expect(found.peak_active <= largest_max_, "peak_active is above the largest maximum");
    expect(found.acquired >= found.released, "more came back than were lent");
    expect(found.acquired >= found.immediate, "more were lent at once than were lent");
    expect(found.state == state_, "the snapshot's state is not the last that was told: " +
                                      std::string{to_string(found.state)} + ", told " +
                                      std::string{to_string(state_)});
    expect(found.liveness == liveness_, "the snapshot's liveness is not the last that was told");
    expect_equal(found.opened, opened_told_, "opened");
    expect_equal(found.leaks, leaks_told_, "leaks");
    const auto [must, may] = leaks(now);
    // A pool that shuts down looks for none any more.
    expect((leaks_told_ >= must || closed_) && leaks_told_ <= may,
           std::to_string(leaks_told_) + " leaks were told of, the model says " +
               std::to_string(must) + " to " + std::to_string(may));
}

void resource_model::check_rested(const resource_snapshot& found) const {
    expect_equal(found.active, held_.size(), "active at rest");
    expect_equal(found.waiting, queue_.size(), "waiting at rest");
    expect_equal(found.closing, 0U, "closing at rest");
    expect_equal(found.quarantined, 0U, "quarantined at rest");
    expect_equal(found.total, open_.size(), "total at rest");
    expect(found.total >= params_.min_size,
           "the minimum is not restored: " + std::to_string(found.total) + " of " +
               std::to_string(params_.min_size));
    expect(found.total <= std::max<std::size_t>(params_.max_size, held_.size()),
           "more than the maximum at rest");
    if (params_.max_idle.count() != 0) {
        expect(found.total <= std::max(params_.min_size, found.active),
               "idle ones above the minimum are still there");
    }
    if (!queue_.empty() && !suspended_) {
        const std::uint32_t open_to_all = params_.max_size - params_.reserved;
        expect(found.active >= (queue_.front().priority ? params_.max_size : open_to_all),
               "somebody waits while there is room");
    }
    // What is in use cannot be asked.
    expect(found.idle == 0 || found.liveness == ropeway::liveness_state::healthy,
           "at rest, liveness is " + std::string{to_string(found.liveness)});
    expect(found.idle == 0 || found.state == ropeway::pool_state::healthy ||
               found.state == ropeway::pool_state::degraded ||
               (found.total == 0 && params_.min_size == 0),
           "at rest, the state is " + std::string{to_string(found.state)});
}

}  // namespace ropeway_test
