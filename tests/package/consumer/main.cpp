// SPDX-License-Identifier: Apache-2.0
//
// A user's program that links ropeway::core and nothing else: it fans out events of its own type,
// and shows that its malloc is still libc's and that none of the upper layers' libraries came
// along.
#include <dlfcn.h>
#include <link.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include <ropeway/dispatcher/dispatcher.hpp>
#include <ropeway/pool/version.hpp>

namespace user {

enum class kind : std::uint8_t { price, fill };
constexpr bool is_critical(kind k) noexcept { return k == kind::fill; }

struct event {
    user::kind kind = user::kind::price;
    std::uint64_t routing_version = 0;
    std::int64_t amount = 0;
};

}  // namespace user

namespace {

constexpr std::int64_t event_count = 1000;

/// Publishes 1..event_count to two subscriptions; true if both saw every one and all slots came
/// back.
bool runs_the_loop() {
    std::atomic<std::int64_t> copies{0};
    std::atomic<std::int64_t> originals{0};
    ropeway::dispatcher<user::event> events;
    // Relaxed: the sums are read after stop(), which joins the workers.
    auto first = events.subscribe("copies", ropeway::overflow::block, {}, [&](user::event& e) {
        copies.fetch_add(e.amount, std::memory_order_relaxed);
    });
    auto second = events.subscribe(
        "originals", ropeway::overflow::block, {.delivery = ropeway::in_place},
        [&](const user::event& e) { originals.fetch_add(e.amount, std::memory_order_relaxed); });
    auto feed = events.publisher("feed");
    events.start();
    for (std::int64_t i = 1; i <= event_count; ++i) {
        auto slot = feed.claim();
        slot->kind = i % 10 == 0 ? user::kind::fill : user::kind::price;
        slot->amount = i;
        if (!feed.publish(std::move(slot))) return false;
    }
    const bool clean = events.stop(std::chrono::seconds{10}).clean();
    constexpr std::int64_t expected = event_count * (event_count + 1) / 2;
    return clean && copies.load(std::memory_order_relaxed) == expected &&
           originals.load(std::memory_order_relaxed) == expected;
}

int note_object(dl_phdr_info* object, std::size_t /*size*/, void* names) {
    *static_cast<std::string*>(names) += std::string(object->dlpi_name) + "\n";
    return 0;
}

/// True if no library of the upper layers is among the objects this process has loaded.
bool loads_the_core_alone() {
    std::string loaded;
    dl_iterate_phdr(&note_object, &loaded);
    if (loaded.find("libc.so") == std::string::npos) {
        std::fprintf(stderr, "libc itself is not among the loaded objects:\n%s", loaded.c_str());
        return false;
    }
    for (const char* unwanted : {"libmimalloc", "libspdlog", "libfmt", "libz.so", "libpq",
                                 "libsqlite3", "libtbbmalloc_proxy", "libprometheus"}) {
        if (loaded.find(unwanted) != std::string::npos) {
            std::fprintf(stderr, "%s came along:\n%s", unwanted, loaded.c_str());
            return false;
        }
    }
    return true;
}

/// True if the symbol that this process resolves lives in libc.
bool is_from_libc(const char* symbol) {
    Dl_info where{};
    void* address = dlsym(RTLD_DEFAULT, symbol);
    if (address == nullptr || dladdr(address, &where) == 0) return false;
    if (std::strstr(where.dli_fname, "libc.so") != nullptr) return true;
    std::fprintf(stderr, "%s comes from %s\n", symbol, where.dli_fname);
    return false;
}

}  // namespace

int main() {
    if (ropeway::version().empty() || !runs_the_loop()) {
        std::fputs("the loop did not deliver every event\n", stderr);
        return 1;
    }
    if (!loads_the_core_alone()) return 1;
    for (const char* symbol : {"malloc", "free", "realloc", "posix_memalign"}) {
        if (!is_from_libc(symbol)) return 1;
    }
    std::puts("every event delivered; malloc is libc's; only the core is loaded");
    return 0;
}
