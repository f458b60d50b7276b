// SPDX-License-Identifier: Apache-2.0
//
// The operations of a run.
#include <algorithm>
#include <utility>

#include "resource_model_run.hpp"

namespace ropeway_test {

using namespace std::chrono_literals;
using ropeway::resource_error_kind;
using ropeway::return_state;
using ropeway::testing::fake_resource;

void model_run::acquire() {
    if (callers_.size() > 20) {
        return;
    }
    const std::uint64_t id = next_call_++;
    const auto timeout = some_time();
    const bool priority = one_in(4);
    note("call " + std::to_string(id) + (priority ? ", priority," : "") + " for at most " +
         std::to_string(timeout.count()) + " ns");
    const auto begun = time_.now();
    model_.begins({.id = id, .priority = priority, .deadline = begun + timeout});
    const std::uint32_t waiting = pool_->snapshot().waiting;
    callers_.push_back(time_.call([this, id, timeout, priority] {
        call_ended(id, pool_->acquire({.timeout = timeout, .priority = priority}));
    }));
    if (pool_->snapshot().waiting > waiting) {
        model_.queues(id);
    }
}

void model_run::call_ended(std::uint64_t id, ropeway::acquired<fake_resource> got) {
    // On a caller, whose errors nobody asks for: the first is kept for check().
    try {
        if (!got) {
            const resource_error_kind kind = got.error().kind;
            note("call " + std::to_string(id) + " failed: " + std::string{to_string(kind)});
            expect(!got.error().text().empty(), "an error without text");
            model_.fails(id, kind, time_.now());
            return;
        }
        held_one one{.lease = got.take()};
        one.number = one.lease->number();
        note("call " + std::to_string(id) + " got connection " + std::to_string(one.number));
        const std::uint64_t number = one.number;
        // Held from now on, whatever the model thinks of it.
        take(std::move(one));
        model_.gets(id, number, time_.now(), !disturbed_);
    } catch (const model_failure& what) {
        failure_ = failure_.empty() ? what.what() : failure_;
    }
}

void model_run::take(held_one one) {
    const auto alive = server_.alive();
    const bool lives = std::binary_search(alive.begin(), alive.end(), one.number);
    const std::uint64_t number = one.number;
    held_.push_back(std::move(one));
    expect(lives, "connection " + std::to_string(number) + " was dead when it was lent");
}

void model_run::try_acquire() {
    // Twice: what is counted as idle may be being probed by the pool at this instant, for less than
    // 2 ms.
    if (!try_acquire_once() && !try_acquire_excused()) {
        time_.advance(2ms);
        const auto before = pool_->snapshot();
        const bool excused = try_acquire_excused();
        expect(try_acquire_once() || excused,
               "try_acquire() got none although " + std::to_string(before.idle) + " are idle");
    }
}

bool model_run::try_acquire_excused() const {
    const auto now = pool_->snapshot();
    const bool reserve_only = now.active + params_.reserved >= model_.max_size();
    return now.idle == 0 || model_.waiting() != 0 || reserve_only || disturbed_ ||
           model_.is_suspended();
}

bool model_run::try_acquire_once() {
    const std::uint32_t waiting = pool_->snapshot().waiting;
    held_one one{.lease = pool_->try_acquire()};
    if (!one.lease) {
        note("try_acquire got none");
        return false;
    }
    one.number = one.lease->number();
    note("try_acquire got connection " + std::to_string(one.number));
    const std::uint64_t number = one.number;
    take(std::move(one));
    expect(waiting == 0, "try_acquire() came before somebody who waits");
    model_.gets_at_once(number, time_.now());
    return true;
}

void model_run::give_back() {
    if (held_.empty()) {
        return;
    }
    const std::size_t which = below(held_.size());
    std::swap(held_[which], held_.back());
    held_one one = std::move(held_.back());
    held_.pop_back();
    give_back(std::move(one));
}

void model_run::give_back(held_one one) {
    fake_resource& resource = one.raw != nullptr ? *one.raw : *one.lease;
    std::string how = "clean";
    if (one_in(4)) {
        how = resource.use() ? "used" : "found broken";
    }
    if (one_in(6)) {
        resource.leave(return_state::dirty);
        how += ", dirty";
    }
    if (!calm_ && one_in(12)) {
        resource.leave(return_state::broken);
        how += ", broken";
        disturbed_ = true;
    }
    note("connection " + std::to_string(one.number) + " back, " + how);
    model_.gives_back(one.number, time_.now());
    if (one.raw != nullptr) {
        expect(pool_->peek(one.ticket) == one.raw, "peek() does not find what is lent");
        expect(pool_->give_back(one.ticket), "give_back() refused");
    } else {
        one.lease.reset();
    }
}

void model_run::lend() {
    for (held_one& one : held_) {
        if (one.raw == nullptr) {
            note("connection " + std::to_string(one.number) + " is lent raw");
            const auto [raw, ticket] = pool_->lend(std::move(one.lease));
            one.raw = raw;
            one.ticket = ticket;
            expect(raw != nullptr && raw->number() == one.number, "lend() gave another");
            return;
        }
    }
}

void model_run::kill() {
    disturbed_ = true;
    if (one_in(5)) {
        note("all connections are killed");
        server_.kill_all();
        return;
    }
    const auto alive = server_.alive();
    if (!alive.empty()) {
        const std::uint64_t number = alive[below(alive.size())];
        note("connection " + std::to_string(number) + " is killed");
        expect(server_.kill(number), "no such connection");
    }
}

void model_run::outage() {
    note("the server goes down");
    disturbed_ = true;
    ++counts_.outages;
    server_.go_down(one_in(3) ? resource_error_kind::recovering : resource_error_kind::unavailable);
}

void model_run::restore() {
    note("the server is well");
    server_.come_up();
    server_.set_silent(false);
    server_.fail_opens(0, {});
}

void model_run::silence() {
    note("the server is silent");
    disturbed_ = true;
    server_.set_silent(true);
}

void model_run::refuse() {
    const std::uint64_t count = 1 + below(4);
    note("the server refuses " + std::to_string(count));
    disturbed_ = true;
    server_.fail_opens(count, {.kind = resource_error_kind::too_many, .code = {}, .text = "full"});
}

void model_run::say_something() {
    const auto alive = server_.alive();
    if (!alive.empty()) {
        const std::uint64_t number = alive[below(alive.size())];
        note("connection " + std::to_string(number) + " has unasked input");
        disturbed_ = true;
        server_.say_something(number);
    }
}

void model_run::resize() {
    const auto max = static_cast<std::uint32_t>(1 + params_.reserved + below(8));
    const auto min = static_cast<std::uint32_t>(below(std::min(max, 4U) + 1));
    note("resize to " + std::to_string(min) + ".." + std::to_string(max));
    model_.resized(min, max);
    pool_->resize(min, max);
}

void model_run::suspend_or_resume() {
    if (model_.is_suspended()) {
        note("resume");
        model_.suspended(false);
        pool_->resume();
    } else if (one_in(3)) {
        note("suspend");
        model_.suspended(true);
        pool_->suspend();
    }
}

void model_run::evict() {
    note("evict");
    pool_->soft_evict();
}

void model_run::advance() {
    const auto by = some_time();
    note("advance " + std::to_string(by.count()) + " ns");
    time_.advance(by);
}

void model_run::rest() {
    note("rest");
    restore();
    if (model_.is_suspended()) {
        model_.suspended(false);
        pool_->resume();
    }
    time_.advance(60s);
    check();
    model_.check_rested(pool_->snapshot());
    const auto counts = server_.counts();
    expect_equal(counts.open_now, pool_->snapshot().total, "open connections at rest");
    disturbed_ = false;
}

}  // namespace ropeway_test
