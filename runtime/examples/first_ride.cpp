#include <atomic>
#include <cstdio>
#include <ropeway/ropeway.hpp>
using namespace std::chrono_literals;

int main() {
    ropeway::runtime rt{{.workers = {.name = "strategies", .count = 2}}};
    std::atomic<int> trades{0}, reports{0};
    auto momentum = rt.subscribe("momentum", ropeway::overflow::drop_oldest, {.kinds = ropeway::market_data},
        [&](ropeway::market_event& e, const ropeway::delivery& d) { trades += e.price > 0 && d.lost_before == 0; });
    auto risk = rt.subscribe("risk", ropeway::overflow::block, {.kinds = ropeway::critical, .delivery = ropeway::in_place},
        [&](const ropeway::market_event&) { ++reports; });
    auto feed = rt.publisher("feed");          // one per publishing thread
    rt.start();
    rt.flip();                                 // a new routing version: older market data is stale from here on
    for (auto kind : {ropeway::event_kind::trade, ropeway::event_kind::execution_report}) {
        auto event = feed.claim();             // a slot; goes back by itself if never published
        if (!event) { return 1; }              // none is free
        event->kind = kind;
        event->price = 61'800 * ropeway::price_scale;
        if (auto sent = feed.publish(std::move(event)); !sent) { return 1; }  // full, stopped: why is in it
    }
    const bool clean = rt.stop(5s).clean();    // drains, joins, says what, if anything, was left
    std::printf("%d trade, %d execution report, %s\n", trades.load(), reports.load(), clean ? "clean" : "not clean");
    return clean ? 0 : 1;
}
