// SPDX-License-Identifier: Apache-2.0
//
// The run behind run_scenario(): who takes part, what they draw, and where each part of it lies.
// Owned by run_scenario() for one run; its members are called by simulated threads, one at a time.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model.hpp"
#include "scenario.hpp"

namespace ropeway_test {

using namespace std::chrono_literals;
using ropeway::event_kind;
using ropeway::kind_set;
using ropeway::overflow;
using simulation::check;
using simulation::pass;
using simulation::random;

constexpr std::uint32_t instruments = 4;

[[nodiscard]] inline bool one_in(std::uint64_t n) { return random(n) == 0; }
[[nodiscard]] inline std::chrono::nanoseconds up_to(std::chrono::nanoseconds most) {
    return std::chrono::nanoseconds{random(static_cast<std::uint64_t>(most.count()) + 1)};
}

/// How a consumer behaves.
struct manners {
    std::chrono::nanoseconds takes{};  ///< most time for an event
    std::uint64_t throws_one_in = 0;   ///< 0: never
    std::uint64_t stalls_one_in = 0;   ///< 0: never
};

/// A handler with its model. Shared with the scenario, which outlives the handler's object.
struct consumer {
    consumer(const feed_models& feeds, std::string name, overflow policy,
             ropeway::event_order order, wish first, manners how)
        : model(feeds, std::move(name), policy, order, std::move(first)), behaves(how) {}

    consumer_model model;
    manners behaves;
    bool inside = false;
    /// Of the event that its handler has; ~0 for a critical one.
    std::uint64_t version_inside = 0;
    ropeway::subscription handle{};
    bool ending = false;        ///< nobody waits for it any more
    consumer* after = nullptr;  ///< it comes after that one
};

class scenario {
  public:
    /// Counts into `counts`, which outlives it.
    explicit scenario(scenario_counts& counts);
    scenario(const scenario&) = delete;
    scenario& operator=(const scenario&) = delete;
    ~scenario();

    void run();

  private:
    // scenario.cpp: the run's frame, and what must hold when it is over.
    [[nodiscard]] static ropeway::dispatcher_params params();
    [[nodiscard]] std::pair<std::size_t, std::uint64_t> where_of(const ride& event) const;
    [[nodiscard]] std::string all_that_waits() const;
    void end();
    void drain_and_stop();
    static void check_no_violation();
    /// The latest event of each of its keys comes, whatever overflows.
    [[nodiscard]] static bool keeps_latest(const consumer& one,
                                           const ropeway::subscription_stats& stats);
    void check_end_of(consumer& one, std::uint64_t version);

    // scenario_consumers.cpp: subscriptions, and their handlers.
    [[nodiscard]] static overflow any_policy();
    [[nodiscard]] static wish any_wish(overflow policy, bool all);
    [[nodiscard]] static std::string name_of(std::size_t number, overflow policy,
                                             const ropeway::subscription_params& params);
    /// `all`: it takes every event, soon, and never throws.
    void join(overflow policy, bool all);
    [[nodiscard]] static manners any_manners(bool all);
    /// An inline one does not stall: it would be its publisher.
    [[nodiscard]] static ropeway::subscription_params any_params(const wish& wants, bool all,
                                                                 manners& how);
    void subscribe(consumer& mine, overflow policy, ropeway::subscription_params params);
    void handle(consumer& me, const ride& event, const ropeway::delivery& facts);
    /// From inside of a handler: never waits.
    void echo();

    // scenario_operations.cpp: what publishers do, and what changes meanwhile.
    void feed(std::size_t feed);
    /// False: nothing more can be published.
    bool publish(std::size_t feed, std::size_t packet);
    void fill(std::size_t feed, ropeway::claimed<ride>& slot);
    void control();
    void flip();
    void flip_and_wait();
    void come();
    void go();
    void change_interest();
    void change_policy();
    void halt();
    void raise_minimum();
    void look();
    /// One that may be changed and ended: not the first.
    [[nodiscard]] consumer* some_consumer();

    scenario_counts& counts_;
    feed_models models_{};
    std::vector<ropeway::publisher<ride>> feeds_{};
    std::vector<std::unique_ptr<consumer>> consumers_{};
    std::map<std::string, std::map<std::pair<std::size_t, std::uint64_t>, int>> told_{};
    std::uint64_t next_id_ = 0;
    std::uint64_t floor_ = 0;
    bool echoes_ = false;
    bool stopped_ = false;
    ropeway::stop_report report_{};
    ropeway::dispatcher<ride> d_;
};

}  // namespace ropeway_test
