#include <cstdio>
#include <ropeway/dispatcher/dispatcher.hpp>
using namespace std::chrono_literals;

enum class gateway_kind : unsigned char { tick, fill };
constexpr bool is_critical(gateway_kind kind) { return kind == gateway_kind::fill; }  // never lost, never filtered

struct gateway_event {  // yours: members `kind` and `routing_version`, or a specialisation of event_traits
    gateway_kind kind = gateway_kind::tick;
    std::uint64_t routing_version = 0;
    std::int64_t quantity = 0;
};

int main() {
    ropeway::dispatcher<gateway_event> gateway{{.workers = {.count = 1}}};
    std::int64_t filled = 0;
    auto book = gateway.subscribe("book", ropeway::overflow::block, {.delivery = ropeway::in_place},
        [&](const gateway_event& e) { filled += e.kind == gateway_kind::fill ? e.quantity : 0; });
    auto feed = gateway.publisher("gateway");
    gateway.start();
    for (int i = 0; i < 10; ++i) {
        auto event = feed.claim();
        if (!event) { return 1; }
        event->kind = i % 5 == 0 ? gateway_kind::fill : gateway_kind::tick;
        event->quantity = 100;
        if (!feed.publish(std::move(event))) { return 1; }
    }
    const bool clean = gateway.stop(5s).clean();
    std::printf("filled %lld, %s\n", static_cast<long long>(filled), clean ? "clean" : "not clean");
    return clean && filled == 200 ? 0 : 1;
}
