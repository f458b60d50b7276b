// SPDX-License-Identifier: Apache-2.0
//
// Taking a slot and giving it back: on one thread, and across two with a ring in between.
//
//   same    get, write one field, destroy                 against a thread-local stack of pointers
//   bulk32  32 at once out of a pool and back             against the same stack
//   cross   get | SPSC ring of handles | destroy          against the ring alone, events by value;
//                                                         against malloc | same ring | free
//
// Every run adds up what it wrote and compares it with the sum that must come out; ours also
// compares the pool's own counts.
#include <array>
#include <cstdint>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#if defined(ROPEWAY_BENCH_BOOST)
#include <boost/lockfree/queue.hpp>
#endif
#include <concurrentqueue/concurrentqueue.h>

#include <ropeway/pool/event_pool.hpp>

#include "child.hpp"
#include "pass_across.hpp"
#include "suites.hpp"

namespace ropeway::bench {
namespace {

constexpr std::size_t held_at_once = 16;
constexpr std::size_t bulk = 32;
constexpr std::size_t slots = 4096;

/// The floor: what a free list costs that does nothing else. One thread.
class array_stack {
  public:
    array_stack() : storage_(slots), free_(slots) {
        for (std::size_t i = 0; i < slots; ++i) {
            free_[i] = &storage_[i];
        }
        top_ = slots;
    }
    [[nodiscard]] market_event* get() noexcept { return top_ == 0 ? nullptr : free_[--top_]; }
    void put(market_event* event) noexcept { free_[top_++] = event; }

  private:
    std::vector<market_event> storage_;
    std::vector<market_event*> free_;
    std::size_t top_ = 0;
};

void check_pool(const event_pool<market_event>& pool, std::uint64_t events,
                std::vector<std::string>& faults) {
    const pool_stats stats = pool.stats();
    expect(stats.recycled, events, "counter recycled", faults);
    expect(stats.outstanding, 0, "counter outstanding", faults);
}

measured per_event(const stopwatch& since, std::uint64_t events, std::uint64_t sum) {
    measured out{since.seconds() * 1e9 / static_cast<double>(events), {}};
    expect(sum, events * (events - 1) / 2, "checksum", out.faults);
    return out;
}

// --- one thread ----------------------------------------------------------------------------------

measured run_same(guard_level level, std::uint64_t events) {
    recycler back;
    event_pool<market_event> pool{{.name = "bench", .slots = slots, .guard = level, .back = &back}};
    pool.slots().warm_up({.prefault = true});
    std::uint64_t sum = 0;
    const stopwatch since;
    for (std::uint64_t i = 0; i < events; i += held_at_once) {
        std::array<pooled<market_event>, held_at_once> held;
        for (std::size_t k = 0; k < held_at_once; ++k) {
            held[k] = pool.get_for_overwrite();
            if (!held[k]) {
                return {0, {"the pool was empty"}};
            }
            held[k]->user = i + k;
        }
        for (const auto& one : held) {
            sum += one->user;
        }
    }
    measured out = per_event(since, events, sum);
    check_pool(pool, events, out.faults);
    return out;
}

template <std::size_t at_once>
measured run_stack(std::uint64_t events) {
    static thread_local array_stack stack;
    std::uint64_t sum = 0;
    const stopwatch since;
    for (std::uint64_t i = 0; i < events; i += at_once) {
        std::array<market_event*, at_once> held{};
        for (std::size_t k = 0; k < at_once; ++k) {
            held[k] = stack.get();
            if (held[k] == nullptr) {
                return {0, {"the stack was empty"}};
            }
            held[k]->user = i + k;
        }
        for (market_event* const one : held) {
            sum += one->user;
            stack.put(one);
        }
    }
    return per_event(since, events, sum);
}

measured run_bulk(guard_level level, std::uint64_t events) {
    recycler back;
    event_pool<market_event> pool{{.name = "bench", .slots = slots, .guard = level, .back = &back}};
    pool.slots().warm_up({.prefault = true});
    slot_pool& raw = pool.slots();
    const std::uint64_t meta = make_meta(0, 0, 0);
    std::array<slot_ref, bulk> held{};
    std::uint64_t sum = 0;
    const stopwatch since;
    for (std::uint64_t i = 0; i < events; i += bulk) {
        if (raw.get_n(held.data(), bulk, meta) != bulk) {
            return {0, {"the pool was empty"}};
        }
        for (std::size_t k = 0; k < bulk; ++k) {
            static_cast<market_event*>(raw.payload(held[k].index))->user = i + k;
        }
        for (const slot_ref& one : held) {
            sum += static_cast<const market_event*>(raw.payload(one.index))->user;
        }
        back.recycle_n<market_event>(raw, held.data(), bulk);
    }
    measured out = per_event(since, events, sum);
    check_pool(pool, events, out.faults);
    return out;
}

// --- two threads ---------------------------------------------------------------------------------

measured run_cross(guard_level level, std::uint64_t events) {
    recycler back;
    event_pool<market_event> pool{{.name = "bench", .slots = slots, .guard = level, .back = &back}};
    pool.slots().warm_up({.prefault = true});
    measured out = pass_across<slot_ref>(
        events,
        [&pool](slot_ref& to, std::uint64_t number) {
            pooled<market_event> event = pool.get_for_overwrite();
            while (!event) {  // the other thread's magazines hold them; it gives them back soon
                std::this_thread::yield();
                event = pool.get_for_overwrite();
            }
            fill(*event, number);
            to = event.release();
        },
        [&pool, &back](const slot_ref& from) {
            const auto event = back.adopt<market_event>(pool.slots(), from);
            return event->user;
        });
    check_pool(pool, events, out.faults);
    return out;
}

/// What the ring costs without any free list: events by value, written and read in place.
measured run_bare_queue(std::uint64_t events) {
    struct alignas(cache_block) element {
        market_event event;
    };
    return pass_across<element>(
        events, [](element& to, std::uint64_t number) { fill(to.event, number); },
        [](element& from) { return from.event.user; });
}

/// Free lists of others: pointers through a queue of theirs.
template <class FreeList>
measured run_free_list(std::uint64_t events) {
    std::vector<market_event> storage(slots);
    FreeList list{slots};
    for (market_event& one : storage) {
        list.put(&one);
    }
    return pass_across<market_event*>(
        events,
        [&list](market_event*& to, std::uint64_t number) {
            while ((to = list.get()) == nullptr) {
                std::this_thread::yield();
            }
            fill(*to, number);
        },
        [&list](market_event*& from) {
            const std::uint64_t user = from->user;
            list.put(from);
            return user;
        });
}

#if defined(ROPEWAY_BENCH_BOOST)
class boost_list {
  public:
    explicit boost_list(std::size_t capacity) : queue_(capacity) {}
    [[nodiscard]] market_event* get() {
        market_event* event = nullptr;
        return queue_.pop(event) ? event : nullptr;
    }
    void put(market_event* event) { queue_.push(event); }

  private:
    boost::lockfree::queue<market_event*> queue_;
};
#endif

class moodycamel_list {
  public:
    explicit moodycamel_list(std::size_t capacity) : queue_(capacity) {}
    [[nodiscard]] market_event* get() {
        market_event* event = nullptr;
        return queue_.try_dequeue(event) ? event : nullptr;
    }
    void put(market_event* event) { queue_.enqueue(event); }

  private:
    moodycamel::ConcurrentQueue<market_event*> queue_;
};

/// malloc of a library that is put in front of the C library's, in a process of its own; empty: the
/// C library's.
measured run_malloc(std::uint64_t events, const std::string& library) {
    measured out;
    const child_result ended = run_child("ropeway-bench-malloc", {std::to_string(events)}, library);
    std::istringstream said{ended.output};
    if (ended.exit_code != 0 || !(said >> out.value)) {
        out.faults.push_back("ropeway-bench-malloc: exit " + std::to_string(ended.exit_code) +
                             ", " + ended.output);
    }
    return out;
}

// --- rows ----------------------------------------------------------------------------------------

constexpr row_defaults recycle_rows{
    .suite = "recycle", .metric = "get and put", .unit = "ns", .direction = better::lower};

void on_one_thread(std::vector<row>& rows, const plan& how) {
    struct kind {
        guard_level level;
        std::optional<double> reach;
    };
    for (const kind& now : {kind{guard_level::off, 1.2}, kind{guard_level::guard, 2.2},
                            kind{guard_level::sampled, {}}, kind{guard_level::full, 24}}) {
        const std::uint64_t events = (now.level == guard_level::full ? 1'600'000U : 8'000'000U) /
                                     how.divisor / held_at_once * held_at_once;
        const std::string name{to_string(now.level)};
        row made = recycle_rows.with({.id = "recycle.same." + name,
                                      .what = "one thread, guard " + name,
                                      .reference = "thread-local stack of pointers, no checks",
                                      .reach = now.reach});
        measure(
            made, how, [=] { return run_same(now.level, events); },
            [=] { return run_stack<held_at_once>(events); });
        rows.push_back(std::move(made));
    }
    const std::uint64_t events = 16'000'000 / how.divisor / bulk * bulk;
    row made = recycle_rows.with({.id = "recycle.bulk32.off",
                                  .what = "one thread, 32 at once, guard off",
                                  .reference = "thread-local stack of pointers, no checks",
                                  .reach = 0.6});
    measure(
        made, how, [=] { return run_bulk(guard_level::off, events); },
        [=] { return run_stack<held_at_once>(events); });
    rows.push_back(std::move(made));
}

void across_threads(std::vector<row>& rows, const plan& how) {
    const std::uint64_t events = 3'000'000 / how.divisor;
    struct kind {
        guard_level level;
        double reach;
    };
    for (const kind& now : {kind{guard_level::off, 0.8}, kind{guard_level::guard, 1.0}}) {
        const std::string name{to_string(now.level)};
        row made = recycle_rows.with(
            {.id = "recycle.cross." + name,
             .what = "two threads, slot references through an SPSC ring, guard " + name,
             .reference = "the ring alone, events by value",
             .reach = now.reach});
        measure(
            made, how, [=] { return run_cross(now.level, events); },
            [=] { return run_bare_queue(events); });
        rows.push_back(std::move(made));
    }
    struct list {
        const char* name;
        measured (*run)(std::uint64_t);
    };
    for (const list& now : {
#if defined(ROPEWAY_BENCH_BOOST)
             list{"boost_lockfree", &run_free_list<boost_list>},
#endif
                 list {
                 "moodycamel", &run_free_list<moodycamel_list>
             }
         }) {
        row made = recycle_rows.with(
            {.id = std::string{"recycle.cross."} + now.name,
             .what = "two threads, slot references through an SPSC ring, guard guard",
             .reference = std::string{now.name} + " queue as free list, same ring"});
        measure(
            made, how, [=] { return run_cross(guard_level::guard, events); },
            [=] { return now.run(events / 4); });
        rows.push_back(std::move(made));
    }
}

/// As speed, so that a larger ratio is better: the row says "at least seven times".
void against_allocators(std::vector<row>& rows, const plan& how) {
    const std::uint64_t events = 2'000'000 / how.divisor;
    struct allocator {
        const char* name;
        const char* library;
        std::optional<double> reach;
    };
    for (const allocator& now :
         {allocator{"glibc", "", {}}, allocator{"jemalloc", "libjemalloc.so.2", 7.0},
          allocator{"tcmalloc", "libtcmalloc_minimal.so.4", {}},
          allocator{"mimalloc", "libmimalloc.so.2.0", {}},
          allocator{"tbbmalloc", "libtbbmalloc_proxy.so.2", {}}}) {
        const std::string library = *now.library == '\0' ? "" : find_library(now.library);
        if (*now.library != '\0' && (library.empty() || only_our_code)) {
            continue;  // not installed: the table shows no row
        }
        row made = recycle_rows.with(
            {.id = std::string{"recycle.cross."} + now.name,
             .what = "two threads, slot references through an SPSC ring, guard guard",
             .metric = "events per second",
             .unit = "Mev/s",
             .reference = std::string{now.name} + " malloc and free, same ring",
             .reach = now.reach});
        const auto speed = [](measured one) {
            one.value = one.value > 0 ? 1000 / one.value : 0;
            return one;
        };
        measure(
            made, how, [=] { return speed(run_cross(guard_level::guard, events)); },
            [=] { return speed(run_malloc(events, library)); });
        rows.push_back(std::move(made));
    }
}

}  // namespace

std::vector<row> run_recycle(const plan& how) {
    std::vector<row> rows;
    on_one_thread(rows, how);
    across_threads(rows, how);
    against_allocators(rows, how);
    return rows;
}

}  // namespace ropeway::bench
