// SPDX-License-Identifier: Apache-2.0
#include "scenario.hpp"

#include <array>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "model.hpp"

namespace ropeway_test {
namespace {

using namespace std::chrono_literals;
using ropeway::event_kind;
using ropeway::kind_set;
using ropeway::overflow;
using simulation::check;
using simulation::pass;
using simulation::random;

thread_local scenario_counts counts;
/// Set by the guard inside of the pool, where a run must not end.
thread_local const char* violated = nullptr;

constexpr std::uint32_t instruments = 4;
constexpr int ops_of_feed = 70;
constexpr unsigned least_ops = 200;
constexpr std::uint64_t ops_of_control = 30;
constexpr kind_set every_kind{event_kind::trade | event_kind::quote | event_kind::execution_report |
                              event_kind::control_ack};

[[nodiscard]] bool one_in(std::uint64_t n) { return random(n) == 0; }
[[nodiscard]] std::chrono::nanoseconds up_to(std::chrono::nanoseconds most) {
    return std::chrono::nanoseconds{random(static_cast<std::uint64_t>(most.count()) + 1)};
}

/// How a consumer behaves.
struct manners {
    std::chrono::nanoseconds takes{};  ///< most time for an event
    std::uint64_t throws_one_in = 0;   ///< 0: never
    std::uint64_t stalls_one_in = 0;   ///< 0: never
};

class scenario;

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
    consumer* after = nullptr;  ///< it comes after that one, which stays
};

class scenario {
  public:
    scenario() : d_{params()} {
        ropeway::set_violation_handler(
            [](const ropeway::violation& what, void*) noexcept {
                violated = ropeway::to_string(what.kind).data();
            },
            nullptr);
        violated = nullptr;
    }
    scenario(const scenario&) = delete;
    scenario& operator=(const scenario&) = delete;
    ~scenario() { ropeway::set_violation_handler(nullptr, nullptr); }

    void run() {
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

  private:
    [[nodiscard]] static ropeway::dispatcher_params params() {
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
    [[nodiscard]] static overflow any_policy() {
        constexpr std::array all{overflow::block,      overflow::drop_oldest, overflow::conflate,
                                 overflow::disconnect, overflow::drop_oldest, overflow::conflate};
        return all[random(all.size())];
    }

    // --- consumers ----------------------------------------------------------------------------

    void handle(consumer& me, const ride& event, const ropeway::delivery& facts) {
        check(!std::exchange(me.inside, true), me.model.name() + ": two handlers at once");
        check(violated == nullptr, violated == nullptr ? "" : violated);
        me.model.takes(event, facts);
        me.version_inside =
            ropeway::is_critical(event.kind) ? ~std::uint64_t{0} : event.routing_version;
        if (me.after != nullptr) {
            check(me.after->model.past(facts.publisher, facts.sequence, d_.routing_version()),
                  me.model.name() + ": before the one that it comes after");
        }
        const ride seen = event;
        if (me.behaves.takes.count() != 0) {
            pass(up_to(me.behaves.takes));
        }
        if (me.behaves.stalls_one_in != 0 && one_in(me.behaves.stalls_one_in)) {
            ++counts.stalls;
            pass(one_in(4) ? up_to(6ms) : up_to(300us));
        }
        if (echoes_ && &me == consumers_.front().get() && facts.publisher != echo_feed &&
            one_in(4)) {
            echo();
        }
        simulation::point();
        check(event.id == seen.id && event.check == event.sum(),
              me.model.name() + ": event " + std::to_string(seen.id) + ", sequence " +
                  std::to_string(facts.sequence) + ", became " + std::to_string(event.id) +
                  " under its handler");
        me.inside = false;
        if (me.behaves.throws_one_in != 0 && one_in(me.behaves.throws_one_in)) {
            ++counts.throws;
            throw 1;
        }
    }

    [[nodiscard]] static wish any_wish(overflow policy, bool all) {
        wish out{.kinds = every_kind};
        if (policy == overflow::conflate) {
            out.kinds = event_kind::quote | event_kind::execution_report | event_kind::control_ack;
        } else if (!all && one_in(3)) {
            out.kinds = event_kind::trade | event_kind::execution_report;
        }
        if (!all && one_in(3)) {
            out.instruments.push_back(1 + static_cast<std::uint32_t>(random(instruments)));
        }
        return out;
    }

    [[nodiscard]] static std::string name_of(std::size_t number, overflow policy,
                                             const ropeway::subscription_params& params) {
        constexpr std::array policies{"blocks", "drops", "conflates", "disconnects"};
        constexpr std::array ways{"duplicate", "in place", "original"};
        constexpr std::array runs{"group", "inline", "own thread"};
        return "c" + std::to_string(number) + " (" + policies[static_cast<std::size_t>(policy)] +
               ", " + ways[static_cast<std::size_t>(params.delivery)] + ", " +
               runs[static_cast<std::size_t>(params.execution)] +
               (params.order == ropeway::event_order::in_sequence ? ", in sequence)" : ")");
    }

    void join(overflow policy, bool all) {
        ++counts.joins;
        constexpr std::array<std::chrono::nanoseconds, 4> speeds{0ns, 500ns, 5us, 40us};
        manners how{.takes = speeds[random(speeds.size())]};
        if (all) {
            how.takes = std::min<std::chrono::nanoseconds>(how.takes, 5us);
        } else {
            how.throws_one_in = one_in(3) ? 4 : 0;
            how.stalls_one_in = one_in(3) ? 30 : 0;
        }
        const wish wants = any_wish(policy, all);
        ropeway::subscription_params params{.kinds = wants.kinds, .instruments = wants.instruments};
        params.backlog = one_in(3) ? 16 : 1024;
        params.conflation_keys = 64;
        params.order =
            one_in(3) ? ropeway::event_order::in_sequence : ropeway::event_order::critical_first;
        constexpr std::array ways{ropeway::duplicate, ropeway::in_place, ropeway::original};
        params.delivery = ways[random(ways.size())];
        if (one_in(4)) {
            params.execution = ropeway::execution_mode::own_thread;
        } else if (!all && one_in(6)) {
            params.execution = ropeway::execution_mode::inline_;
            how.stalls_one_in = 0;
        }
        auto made = std::make_unique<consumer>(models_, name_of(consumers_.size(), policy, params),
                                               policy, params.order, wants, how);
        consumer& mine = *made;
        if (mine.behaves.throws_one_in != 0 &&
            params.execution != ropeway::execution_mode::inline_ && one_in(2)) {
            mine.behaves.throws_one_in = 2;
            params.quarantine = {.after = 3, .retry_after = 1ms};
            mine.model.may_rest();
        }
        if (!all && one_in(6)) {
            params.after.push_back(&consumers_.front()->handle);
            mine.after = consumers_.front().get();
        }
        consumers_.push_back(std::move(made));
        // It may have deliveries before subscribe() returns: until then it starts nowhere.
        for (std::size_t feed = 0; feed < most_feeds; ++feed) {
            mine.model.starts_at(feed, not_yet);
        }
        if (params.delivery == ropeway::original) {
            // Its own, whether it is a duplicate or the ring's: nobody else may see what it does.
            mine.handle = d_.subscribe(mine.model.name(), policy, std::move(params),
                                       [this, &mine](ride& event, const ropeway::delivery& facts) {
                                           handle(mine, event, facts);
                                           event.check = ~event.check;
                                           simulation::point();
                                       });
        } else {
            mine.handle =
                d_.subscribe(mine.model.name(), policy, std::move(params),
                             [this, &mine](const ride& event, const ropeway::delivery& facts) {
                                 handle(mine, event, facts);
                             });
        }
        for (std::size_t feed = 0; feed < feeds_.size(); ++feed) {
            mine.model.starts_at(feed,
                                 mine.handle.first_sequence(static_cast<std::uint32_t>(feed)));
        }
    }

    /// One that may be changed and ended: not the first, nor one that another comes after.
    [[nodiscard]] consumer* some_consumer() {
        std::vector<consumer*> can;
        for (const auto& one : consumers_) {
            if (one != consumers_.front() && one->handle) {
                can.push_back(one.get());
            }
        }
        return can.empty() ? nullptr : can[random(can.size())];
    }

    // --- publishers ---------------------------------------------------------------------------

    [[nodiscard]] std::pair<std::size_t, std::uint64_t> where_of(const ride& event) const {
        for (std::size_t feed = 0; feed < most_feeds; ++feed) {
            for (std::size_t i = 0; i < models_[feed].entries.size(); ++i) {
                if (models_[feed].entries[i].event.id == event.id) {
                    return {feed, i + 1};
                }
            }
        }
        simulation::fail("an event was told undelivered that was not published");
    }

    void fill(std::size_t feed, ropeway::claimed<ride>& slot) {
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
        models_[feed].entries.push_back(
            {.event = *slot, .critical = ropeway::is_critical(slot->kind)});
    }

    /// False: nothing more can be published.
    bool publish(std::size_t feed, std::size_t packet) {
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
        counts.publishes += static_cast<unsigned>(slots.size());
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

    /// From inside of a handler: never waits.
    void echo() {
        feed_model& model = models_[echo_feed];
        auto slot = feeds_[echo_feed].claim();
        if (!slot) {
            return;
        }
        fill(echo_feed, slot);
        ++counts.publishes;
        const auto result = feeds_[echo_feed].publish(std::move(slot));
        check(result.waited.count() == 0, "a publish inside of a handler waited");
        if (result.count == 0) {
            check(result.status == ropeway::publish_status::would_block ||
                      result.status == ropeway::publish_status::halted ||
                      result.status == ropeway::publish_status::stopped,
                  "an echo that failed for no reason");
            model.entries.pop_back();
        }
        model.committed = model.entries.size();
    }

    void feed(std::size_t feed) {
        for (int op = 0; op < ops_of_feed || counts.all() < least_ops; ++op) {
            if (one_in(20)) {
                ++counts.laps;
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

    // --- changes ------------------------------------------------------------------------------

    void control() {
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
            const bool goes_on = simulation::eventually([] { return counts.all() >= least_ops; });
            check(goes_on, goes_on ? "" : "publishers stand still:" + all_that_waits());
            ++counts.stops;
            stopped_ = true;
            report_ = d_.stop(up_to(300us));
        }
    }
    void flip() {
        ++counts.flips;
        static_cast<void>(d_.flip());
    }
    void flip_and_wait() {
        ++counts.flips;
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
    void come() {
        if (d_.stats().subscriptions.size() < 6) {
            join(any_policy(), false);
            consumers_.back()->model.floor(floor_);
        }
    }
    void go() {
        consumer* const one = some_consumer();
        if (one == nullptr) {
            return;
        }
        ++counts.leaves;
        std::array<std::uint64_t, most_feeds> cut{};
        for (std::size_t feed = 0; feed < most_feeds; ++feed) {
            cut[feed] = models_[feed].committed;
        }
        const std::uint64_t version = d_.routing_version();
        const bool drains = one_in(2);
        const auto report = one->handle.unsubscribe(
            drains ? ropeway::leaving::drain : ropeway::leaving::discard, one_in(4) ? 50us : 50ms);
        if (!report.ended) {
            return;  // its handler may still be called once
        }
        one->model.ends();
        check(!one->inside, one->model.name() + ": ended inside of its handler");
        if (report.drained) {
            one->model.check_complete(cut, std::max(version, d_.routing_version()), {},
                                      minimum_of(*one) == 0);
        }
    }
    void change_interest() {
        consumer* const one = some_consumer();
        if (one == nullptr) {
            return;
        }
        ++counts.changes;
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
    void change_policy() {
        consumer* const one = some_consumer();
        if (one == nullptr || one->model.conflates() || one->model.disconnects()) {
            return;
        }
        ++counts.changes;
        const overflow next = one_in(2) ? overflow::block : overflow::drop_oldest;
        one->model.uses(next);
        static_cast<void>(one->handle.set_policy(next, 5ms));
    }
    void halt() {
        const std::size_t feed = random(feeds_.size());
        feeds_[feed].halt();
        pass(up_to(20us));
        feeds_[feed].resume();
    }
    void raise_minimum() {
        consumer* const one = some_consumer();
        if (one == nullptr) {
            return;
        }
        ++counts.changes;
        const std::uint64_t least = d_.routing_version();
        one->handle.update_min_version(least);
        one->model.floor(least);
    }
    void look() {
        std::array<ropeway::subscription_counters, 8> some{};
        static_cast<void>(d_.snapshot(some));
        for (const auto& one : d_.stats().subscriptions) {
            check(one.lag < 100'000, "a lag that cannot be");
        }
    }

    // --- the end ------------------------------------------------------------------------------

    [[nodiscard]] std::uint64_t minimum_of(const consumer& one) const {
        return one.handle ? one.handle.stats().consumer.min_version : 0;
    }

    [[nodiscard]] std::string all_that_waits() const {
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

    void end() {
        if (!stopped_) {
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
            ++counts.stops;
            report_ = d_.stop(1s);
            check(report_.clean(),
                  "a stop that is not clean: drained " + std::to_string(report_.drained) +
                      ", workers gone " + std::to_string(report_.workers_gone) + ", undelivered " +
                      std::to_string(report_.undelivered) + ", slots outstanding " +
                      std::to_string(report_.slots_outstanding));
        }
        check(report_.workers_gone || stopped_, "workers left behind");
        const std::uint64_t version = d_.routing_version();
        for (const auto& one : consumers_) {
            if (!one->handle) {
                continue;
            }
            std::array<std::uint64_t, most_feeds> all{};
            for (std::size_t feed = 0; feed < most_feeds; ++feed) {
                all[feed] = models_[feed].entries.size();
            }
            const auto stats = one->handle.stats();
            const std::uint64_t floor = std::max(version, stats.consumer.min_version);
            if (!stopped_ || report_.workers_gone) {
                one->model.check_complete(all, floor, told_[one->model.name()], !stopped_);
            }
            if (stopped_) {
                continue;
            }
            if (one->model.conflates() && !one->model.disconnects() && !one->model.rests() &&
                stats.dropped_no_key + stats.dropped_no_slot == 0) {
                one->model.check_latest(floor);
            }
            if (one->model.from_start() && !one->model.changed() && !stats.disconnected &&
                !one->model.rests()) {
                one->model.check_counts(stats);
            }
        }
        for (const auto& one : consumers_) {
            one->handle.unsubscribe();
        }
        check(stopped_ || report_.slots_outstanding == 0, "slots outstanding");
        check(violated == nullptr, violated == nullptr ? "" : violated);
    }

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

}  // namespace

void run_scenario() {
    counts = {};
    scenario one;
    one.run();
}

const scenario_counts& counts_of_scenario() noexcept { return counts; }

}  // namespace ropeway_test
