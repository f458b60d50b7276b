// SPDX-License-Identifier: Apache-2.0
//
// Taking a slot and giving it back: on one thread, and across two with a ring in between.
//
//   same    get, write one field, destroy                 against a thread-local stack of pointers
//   cross   get | SPSC ring of handles | destroy          against malloc | same ring | free
//
// Every run adds up what it wrote and compares it with the sum that must come out; ours also
// compares the pool's own counts.
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <ropeway/pool/event_pool.hpp>

#include "spsc_ring.hpp"
#include "stopwatch.hpp"
#include "suites.hpp"
#include "tally.hpp"

namespace ropeway::bench {
namespace {

constexpr std::size_t held_at_once = 16;
constexpr std::size_t slots = 4096;

struct outcome_of_run {
    double ns_per_event = 0;
    std::vector<std::string> faults{};
};

void expect(std::uint64_t is, std::uint64_t must, const std::string& what,
            std::vector<std::string>& faults) {
    if (is != must) {
        faults.push_back(what + ": " + std::to_string(is) + " instead of " + std::to_string(must));
    }
}

double per_event(const stopwatch& since, std::uint64_t events) {
    return since.seconds() * 1e9 / static_cast<double>(events);
}

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

// --- one thread ----------------------------------------------------------------------------------

outcome_of_run run_same(guard_level level, std::uint64_t events) {
    outcome_of_run out;
    recycler back;
    event_pool<market_event> pool{{.name = "bench", .slots = slots, .guard = level, .back = &back}};
    std::uint64_t sum = 0;
    const stopwatch since;
    for (std::uint64_t i = 0; i < events; i += held_at_once) {
        std::array<pooled<market_event>, held_at_once> held;
        for (std::size_t k = 0; k < held_at_once; ++k) {
            held[k] = pool.get_for_overwrite();
            if (!held[k]) {
                out.faults.emplace_back("the pool was empty");
                return out;
            }
            held[k]->user = i + k;
        }
        for (const auto& one : held) {
            sum += one->user;
        }
    }
    out.ns_per_event = per_event(since, events);
    expect(sum, events * (events - 1) / 2, "checksum", out.faults);
    const auto stats = pool.stats();
    expect(stats.recycled, events, "counter recycled", out.faults);
    expect(stats.outstanding, 0, "counter outstanding", out.faults);
    return out;
}

outcome_of_run run_same_stack(std::uint64_t events) {
    outcome_of_run out;
    static thread_local array_stack stack;
    std::uint64_t sum = 0;
    const stopwatch since;
    for (std::uint64_t i = 0; i < events; i += held_at_once) {
        std::array<market_event*, held_at_once> held{};
        for (std::size_t k = 0; k < held_at_once; ++k) {
            held[k] = stack.get();
            if (held[k] == nullptr) {
                out.faults.emplace_back("the stack was empty");
                return out;
            }
            held[k]->user = i + k;
        }
        for (market_event* const one : held) {
            sum += one->user;
            stack.put(one);
        }
    }
    out.ns_per_event = per_event(since, events);
    expect(sum, events * (events - 1) / 2, "checksum of the stack", out.faults);
    return out;
}

// --- two threads ---------------------------------------------------------------------------------

/// Passes `events` handles from this thread to another; Take makes one, Give takes it back.
template <class Handle, class Take, class Give>
outcome_of_run pass_across(std::uint64_t events, Take&& take, Give&& give) {
    outcome_of_run out;
    const auto ring = std::make_unique<spsc_ring<Handle, 1024>>();
    std::uint64_t sum = 0;
    const stopwatch since;
    {
        const std::jthread other{[&] {
            patience waiting;
            for (std::uint64_t i = 0; i < events;) {
                if (Handle* const next = ring->front(); next != nullptr) {
                    sum += give(*next);
                    ring->release();
                    ++i;
                    waiting.reset();
                } else {
                    waiting.wait();
                }
            }
        }};
        for (std::uint64_t i = 0; i < events; ++i) {
            patience waiting;
            Handle* place = ring->try_reserve();
            while (place == nullptr) {
                waiting.wait();
                place = ring->try_reserve();
            }
            take(*place, i);
            ring->commit();
        }
    }
    out.ns_per_event = per_event(since, events);
    expect(sum, events * (events - 1) / 2, "checksum", out.faults);
    return out;
}

outcome_of_run run_cross(guard_level level, std::uint64_t events) {
    recycler back;
    event_pool<market_event> pool{{.name = "bench", .slots = slots, .guard = level, .back = &back}};
    outcome_of_run out = pass_across<pooled<market_event>>(
        events,
        [&pool](pooled<market_event>& to, std::uint64_t number) {
            to = pool.get_for_overwrite();
            while (!to) {  // the other thread's magazines hold them; it gives them back soon
                std::this_thread::yield();
                to = pool.get_for_overwrite();
            }
            to->user = number;
        },
        [](pooled<market_event>& from) {
            const std::uint64_t user = from->user;
            from.reset();
            return user;
        });
    const auto stats = pool.stats();
    expect(stats.recycled, events, "counter recycled", out.faults);
    expect(stats.outstanding, 0, "counter outstanding", out.faults);
    return out;
}

outcome_of_run run_cross_malloc(std::uint64_t events) {
    return pass_across<market_event*>(
        events,
        [](market_event*& to, std::uint64_t number) {
            to = static_cast<market_event*>(std::malloc(sizeof(market_event)));
            if (to == nullptr) {
                std::abort();
            }
            to->user = number;
        },
        [](market_event*& from) {
            const std::uint64_t user = from->user;
            std::free(from);
            return user;
        });
}

// --- rows ----------------------------------------------------------------------------------------

row make_row(std::string id, std::string what, std::string reference) {
    row made;
    made.id = std::move(id);
    made.suite = "recycle";
    made.what = std::move(what);
    made.metric = "get and put";
    made.unit = "ns";
    made.reference = std::move(reference);
    made.direction = better::lower;
    return made;
}

void add(row& to, const outcome_of_run& ours, const outcome_of_run& reference) {
    to.values.push_back(ours.ns_per_event);
    to.reference_values.push_back(reference.ns_per_event);
    to.faults.insert(to.faults.end(), ours.faults.begin(), ours.faults.end());
    to.faults.insert(to.faults.end(), reference.faults.begin(), reference.faults.end());
}

}  // namespace

std::vector<row> run_recycle(const plan& how) {
    std::vector<row> rows;
    for (const guard_level level :
         {guard_level::off, guard_level::guard, guard_level::sampled, guard_level::full}) {
        const std::uint64_t events = (level == guard_level::full ? 1'600'000U : 8'000'000U) /
                                     how.divisor / held_at_once * held_at_once;
        const std::string name{to_string(level)};
        row made = make_row("recycle.same." + name, "one thread, guard " + name,
                            "thread-local stack of pointers, no checks");
        for (unsigned round = 0; round < how.rounds; ++round) {
            show_progress(made.id, round, how.rounds);
            const outcome_of_run reference = run_same_stack(events);
            add(made, run_same(level, events), reference);
        }
        rows.push_back(std::move(made));
    }
    for (const guard_level level : {guard_level::off, guard_level::guard}) {
        const std::uint64_t events = 2'000'000U / how.divisor;
        const std::string name{to_string(level)};
        row made = make_row("recycle.cross." + name + ".malloc",
                            "two threads and an SPSC ring, guard " + name,
                            "malloc and free of the C library, same ring");
        for (unsigned round = 0; round < how.rounds; ++round) {
            show_progress(made.id, round, how.rounds);
            const outcome_of_run reference = run_cross_malloc(events);
            add(made, run_cross(level, events), reference);
        }
        rows.push_back(std::move(made));
    }
    return rows;
}

}  // namespace ropeway::bench
