#include <cstdio>
#include <ropeway/dispatcher/dispatcher.hpp>
#include <ropeway/dispatcher/simulation.hpp>
namespace simulation = ropeway::simulation;
using namespace std::chrono_literals;

int main() {
    const auto found = simulation::explore({.seeds = 1000}, [] {
        ropeway::dispatcher<ropeway::market_event> events{{.workers = {.count = 2}}};
        int position = 0;  // shared by two consumers, guarded by nothing: the bug
        const auto fill = [&](const ropeway::market_event&) {
            const int before = position;
            simulation::pass(200ns);  // the time it takes, and where others may run
            position = before + 1;
        };
        auto one = events.subscribe("one", ropeway::overflow::block, {}, fill);
        auto two = events.subscribe("two", ropeway::overflow::block, {}, fill);
        auto feed = events.publisher("feed");
        events.start();
        for (int i = 0; i < 10; ++i) {
            auto event = feed.claim();
            if (!event) { simulation::fail("no slot"); }
            event->kind = ropeway::event_kind::execution_report;
            simulation::check(feed.publish(std::move(event)).count == 1, "publish");
        }
        simulation::check(events.stop(1s).clean(), "a clean stop");
        simulation::check(position == 20, "every fill counts");
    });
    std::printf("%s\n", found ? "no seed shows it" : found.failure.c_str());
    return found ? 1 : 0;
}
