// SPDX-License-Identifier: Apache-2.0
//
// The scenario's consumers: what they want, how they behave, and what each delivery is held
// against.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "scenario_run.hpp"

namespace ropeway_test {
namespace {

constexpr kind_set every_kind{event_kind::trade | event_kind::quote | event_kind::execution_report |
                              event_kind::control_ack};

}  // namespace

overflow scenario::any_policy() {
    constexpr std::array all{overflow::block,      overflow::drop_oldest, overflow::conflate,
                             overflow::disconnect, overflow::drop_oldest, overflow::conflate};
    return all[random(all.size())];
}

wish scenario::any_wish(overflow policy, bool all) {
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

std::string scenario::name_of(std::size_t number, overflow policy,
                              const ropeway::subscription_params& params) {
    constexpr std::array policies{"blocks", "drops", "conflates", "disconnects"};
    constexpr std::array ways{"duplicate", "in place", "original"};
    constexpr std::array runs{"group", "inline", "own thread"};
    return "c" + std::to_string(number) + " (" + policies[static_cast<std::size_t>(policy)] + ", " +
           ways[static_cast<std::size_t>(params.delivery)] + ", " +
           runs[static_cast<std::size_t>(params.execution)] +
           (params.order == ropeway::event_order::in_sequence ? ", in sequence)" : ")");
}

manners scenario::any_manners(bool all) {
    constexpr std::array<std::chrono::nanoseconds, 4> speeds{0ns, 500ns, 5us, 40us};
    manners how{.takes = speeds[random(speeds.size())]};
    if (all) {
        how.takes = std::min<std::chrono::nanoseconds>(how.takes, 5us);
    } else {
        how.throws_one_in = one_in(3) ? 4 : 0;
        how.stalls_one_in = one_in(3) ? 30 : 0;
    }
    return how;
}

ropeway::subscription_params scenario::any_params(const wish& wants, bool all, manners& how) {
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
    return params;
}

void scenario::join(overflow policy, bool all) {
    ++counts_.joins;
    manners how = any_manners(all);
    const wish wants = any_wish(policy, all);
    ropeway::subscription_params params = any_params(wants, all, how);
    auto made = std::make_unique<consumer>(models_, name_of(consumers_.size(), policy, params),
                                           policy, params.order, wants, how);
    consumer& mine = *made;
    if (mine.behaves.throws_one_in != 0 && params.execution != ropeway::execution_mode::inline_ &&
        one_in(2)) {
        mine.behaves.throws_one_in = 2;
        params.quarantine = {.after = 3, .retry_after = 1ms};
        mine.model.may_rest();
    }
    if (!all && one_in(4)) {
        consumer& first = *consumers_[one_in(2) ? 0 : random(consumers_.size())];
        if (first.handle) {
            params.after.push_back(&first.handle);
            mine.after = &first;
        }
    }
    consumers_.push_back(std::move(made));
    subscribe(mine, policy, std::move(params));
}

void scenario::subscribe(consumer& mine, overflow policy, ropeway::subscription_params params) {
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
        mine.model.starts_at(feed, mine.handle.first_sequence(static_cast<std::uint32_t>(feed)));
    }
}

void scenario::handle(consumer& me, const ride& event, const ropeway::delivery& facts) {
    // Texts are made where a check has failed: this is called for every delivery.
    if (std::exchange(me.inside, true)) {
        simulation::fail(me.model.name() + ": two handlers at once");
    }
    check_no_violation();
    me.model.takes(event, facts);
    me.version_inside =
        ropeway::is_critical(event.kind) ? ~std::uint64_t{0} : event.routing_version;
    if (me.after != nullptr && !me.after->ending &&
        !me.after->model.past(facts.publisher, facts.sequence, d_.routing_version())) {
        simulation::fail(me.model.name() + ": before the one that it comes after");
    }
    const ride seen = event;
    if (me.behaves.takes.count() != 0) {
        pass(up_to(me.behaves.takes));
    }
    if (me.behaves.stalls_one_in != 0 && one_in(me.behaves.stalls_one_in)) {
        ++counts_.stalls;
        pass(one_in(4) ? up_to(6ms) : up_to(300us));
    }
    if (echoes_ && &me == consumers_.front().get() && facts.publisher != echo_feed && one_in(4)) {
        echo();
    }
    simulation::point();
    if (event.id != seen.id || event.check != event.sum()) {
        simulation::fail(me.model.name() + ": event " + std::to_string(seen.id) + ", sequence " +
                         std::to_string(facts.sequence) + ", became " + std::to_string(event.id) +
                         " under its handler");
    }
    me.inside = false;
    if (me.behaves.throws_one_in != 0 && one_in(me.behaves.throws_one_in)) {
        ++counts_.throws;
        throw 1;
    }
}

void scenario::echo() {
    feed_model& model = models_[echo_feed];
    auto slot = feeds_[echo_feed].claim();
    if (!slot) {
        return;
    }
    fill(echo_feed, slot);
    ++counts_.publishes;
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

}  // namespace ropeway_test
