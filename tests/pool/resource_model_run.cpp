// SPDX-License-Identifier: Apache-2.0
//
// The frame of a run: parameters, the choice of operations, what is compared after each, the end.
#include "resource_model_run.hpp"

#include <algorithm>
#include <utility>

#include <ropeway/pool/violation.hpp>

namespace ropeway_test {

using namespace std::chrono_literals;
using ropeway::resource_pool_params;

resource_pool_params model_run::random_params(std::mt19937_64& random) {
    const auto below = [&](std::uint64_t limit) { return random() % limit; };
    resource_pool_params params;
    params.name = "model";
    params.max_size = static_cast<std::uint32_t>(1 + below(8));
    params.min_size = static_cast<std::uint32_t>(below(std::min(params.max_size, 4U) + 1));
    params.reserved = below(3) == 0 ? static_cast<std::uint32_t>(below(params.max_size)) : 0;
    params.max_waiters = static_cast<std::uint32_t>(1 + below(12));
    params.probe_timeout = std::chrono::milliseconds{50 + below(500)};
    params.max_uses = below(3) == 0 ? 1 + below(20) : 0;
    params.max_age = below(2) == 0 ? std::chrono::milliseconds{20'000 + below(100'000)} : 0ms;
    params.max_idle = below(2) == 0 ? std::chrono::milliseconds{1000 + below(15'000)} : 0ms;
    constexpr std::array validations{ropeway::validation::passive_only,
                                     ropeway::validation::if_idle, ropeway::validation::always};
    params.validate = validations[below(3)];
    params.validate_after = std::chrono::milliseconds{below(5000)};
    params.maintenance_interval = std::chrono::milliseconds{1000 + below(9000)};
    params.leak_timeout = below(2) == 0 ? std::chrono::milliseconds{5000 + below(30'000)} : 0ms;
    params.order =
        below(2) == 0 ? ropeway::idle_order::last_used : ropeway::idle_order::oldest_idle;
    params.quarantine = {.failures = static_cast<std::uint32_t>(below(4)),
                         .history = 8,
                         .rest = std::chrono::milliseconds{10 + below(5000)}};
    params.seed = 1 + below(1'000'000);
    return params;
}

model_run::model_run(std::uint64_t seed)
    : random_(seed),
      server_(time_, {.open = std::chrono::microseconds{below(5000)},
                      .probe = std::chrono::microseconds{below(1000)},
                      .reset = std::chrono::microseconds{below(1000)},
                      .close = std::chrono::microseconds{below(1000)}}),
      params_(random_params(random_)),
      model_(params_) {
    calm_ = one_in(3);
    server_.use_descriptors(one_in(4));
    params_.time = &time_;
    params_.observer = [this](const ropeway::resource_event& event) {
        // On the loop's turn, where nothing may be thrown.
        try {
            model_.told(event, time_.now());
        } catch (const model_failure& what) {
            failure_ = failure_.empty() ? what.what() : failure_;
        }
    };
    violations_before_ = ropeway::all_violations().total();
    pool_ = std::make_unique<pool_type>(server_.maker(), params_);
}

model_run::~model_run() {
    // Callers end and leases go back before the pool ends, also after a failure.
    while (!callers_.empty()) {
        callers_.back().finish();
        callers_.pop_back();
    }
    drop_held();
}

void model_run::drop_held() {
    for (const held_one& one : held_) {
        if (one.raw != nullptr && pool_ != nullptr) {
            pool_->give_back(one.ticket);
        }
    }
    held_.clear();
}

void model_run::note(std::string what) {
    latest_.push_back(std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(
                                         time_.now() - resource_clock_point{1h})
                                         .count()) +
                      " us: " + std::move(what));
    if (latest_.size() > 25) {
        latest_.pop_front();
    }
}

std::chrono::nanoseconds model_run::some_time() {
    constexpr std::array<std::chrono::nanoseconds, 7> most{100us, 1ms, 10ms, 100ms, 1s, 10s, 60s};
    return std::chrono::nanoseconds{
        1 + below(static_cast<std::uint64_t>(most[below(most.size())].count()))};
}

void model_run::go(unsigned operations) {
    try {
        const auto failed = pool_->start();
        expect(!failed.has_value(), "start() failed");
        check();
        for (unsigned i = 0; i < operations; ++i) {
            ++counts_.operations;
            operate();
            time_.settle();
            check();
        }
        end();
    } catch (const model_failure& what) {
        std::string text = what.what() + state_text();
        for (const std::string& one : latest_) {
            text += "\n    " + one;
        }
        throw model_failure{text};
    }
}

std::string model_run::state_text() const {
    const auto now = pool_->snapshot();
    const auto field = [](const char* name, auto value) {
        return std::string{" "} + name + "=" + std::to_string(value);
    };
    return "\n   " + field("total", now.total) + field("idle", now.idle) +
           field("active", now.active) + field("opening", now.opening) +
           field("closing", now.closing) + field("quarantined", now.quarantined) +
           field("waiting", now.waiting) + field("min", now.min_size) + field("max", now.max_size) +
           field("reserved", params_.reserved) + field("held", held_.size()) +
           " state=" + std::string{to_string(now.state)} +
           " liveness=" + std::string{to_string(now.liveness)};
}

void model_run::operate() {
    struct choice {
        unsigned weight;
        bool calm;  ///< also in a calm run
        void (model_run::*act)();
    };
    static constexpr std::array choices{
        choice{30, true, &model_run::acquire},   choice{12, true, &model_run::try_acquire},
        choice{30, true, &model_run::give_back}, choice{3, true, &model_run::lend},
        choice{6, false, &model_run::kill},      choice{2, false, &model_run::outage},
        choice{4, false, &model_run::restore},   choice{2, false, &model_run::silence},
        choice{2, false, &model_run::refuse},    choice{3, false, &model_run::say_something},
        choice{3, true, &model_run::resize},     choice{3, true, &model_run::suspend_or_resume},
        choice{2, true, &model_run::evict},      choice{25, true, &model_run::advance},
        choice{2, true, &model_run::rest},
    };
    unsigned all = 0;
    for (const choice& one : choices) {
        all += one.calm || !calm_ ? one.weight : 0;
    }
    auto drawn = static_cast<unsigned>(below(all));
    for (const choice& one : choices) {
        const unsigned weight = one.calm || !calm_ ? one.weight : 0;
        if (drawn < weight) {
            (this->*one.act)();
            return;
        }
        drawn -= weight;
    }
}

void model_run::check() {
    std::erase_if(callers_, [](const auto& one) { return one.ended(); });
    expect(failure_.empty(), failure_);
    model_.check(pool_->snapshot(), time_.now());
    const auto counts = server_.counts();
    expect(counts.most_alive <= model_.largest_max(),
           std::to_string(counts.most_alive) + " connections at once, above the maximum");
    const auto misuses = server_.misuses();
    expect(misuses.empty(), misuses.empty() ? "" : misuses.front());
    expect(time_.runaways() == 0, "the pool's loop comes to no rest");
    expect(time_.waits_in_turns() == 0, "the pool's loop waited");
    expect(ropeway::all_violations().total() == violations_before_, "a violation was reported");
}

void model_run::end() {
    if (one_in(2)) {
        end_by_force();
    } else {
        end_well();
    }
    expect(!pool_->acquire(1s), "acquire() after the shutdown");
    // What is in a holder's hands ends when he lets go of it; the rest has ended.
    expect_equal(server_.counts().open_now, held_.size(), "connections after the shutdown");
    drop_held();
    const auto counts = server_.counts();
    expect_equal(counts.open_now, 0U, "connections after the last return");
    expect_equal(counts.opened, counts.farewells + counts.drops, "opened connections");
    expect(failure_.empty(), failure_);
    expect(server_.misuses().empty(), "misuse at the end");
    counts_.opened = counts.opened;
    counts_.kills = counts.kills;
    pool_.reset();
    expect_equal(server_.counts().resources_now, 0U, "resources after the pool");
}

void model_run::end_well() {
    note("shutdown, nothing held");
    while (!held_.empty()) {
        held_one one = std::move(held_.back());
        held_.pop_back();
        give_back(std::move(one));
        // What comes back may go straight to somebody who waits.
        time_.settle();
    }
    model_.shut_down();
    const auto report = pool_->shutdown(120s);
    time_.settle();
    expect(held_.empty() || !report.clean(), "leases are out after a clean shutdown");
    model_.check(pool_->snapshot(), time_.now());
}

void model_run::end_by_force() {
    note("shutdown, " + std::to_string(held_.size()) + " held");
    const std::size_t held = held_.size();
    const auto begun = time_.now();
    model_.shut_down();
    const auto report = pool_->shutdown(2s);
    time_.settle();
    expect_equal(model_.waiting(), 0U, "waiting after the shutdown");
    // Who was probing one when it began may still have got it.
    expect_equal(report.forced.size(), held_.size(), "leases ended by force");
    expect(time_.now() - begun <= 2s + 1ms + params_.close_timeout, "the shutdown took too long");
    counts_.forced += held;
}

void model_run::add_to(model_counts& sum) const {
    sum.operations += counts_.operations;
    sum.leases += model_.acquired();
    sum.timeouts += model_.timeouts();
    sum.refused += model_.refused();
    sum.kills += counts_.kills;
    sum.outages += counts_.outages;
    sum.leaks += model_.leaks_told();
    sum.forced += counts_.forced;
    sum.opened += counts_.opened;
}

}  // namespace ropeway_test
