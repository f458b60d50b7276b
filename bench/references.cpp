// SPDX-License-Identifier: Apache-2.0
#include "references.hpp"

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#if defined(ROPEWAY_BENCH_BOOST)
#include <boost/signals2/signal.hpp>
#endif
#include <concurrentqueue/concurrentqueue.h>
#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/flow_graph.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_group.h>

#include <ropeway/pool/event_pool.hpp>

#include "one_ring.hpp"
#include "spsc_ring.hpp"
#include "stopwatch.hpp"
#include "tally.hpp"

namespace ropeway::bench {
namespace {

constexpr std::size_t ring_capacity = 1024;

std::deque<tally> tallies_for(const reference_run& how) {
    std::deque<tally> made;
    for (unsigned i = 0; i < how.consumers; ++i) {
        made.emplace_back(how.events);
    }
    return made;
}

/// The rate, and what the consumers found.
measured result_of(const reference_run& how, const stopwatch& since,
                   const std::deque<tally>& tallies, const std::string& design) {
    measured out{static_cast<double>(how.events) / since.seconds() / 1e6, {}};
    for (std::size_t i = 0; i < tallies.size(); ++i) {
        tallies[i].check(design + ", consumer " + std::to_string(i + 1), out.faults);
    }
    return out;
}

/// Designs without queues: the publishing thread makes an event and hands it to all.
template <class Publish>
measured run_on_this_thread(const reference_run& how, std::deque<tally>& tallies,
                            const std::string& name, Publish&& publish) {
    const stopwatch since;
    market_event event;
    for (std::uint64_t i = 0; i < how.events; ++i) {
        fill(event, i);
        publish(event);
    }
    return result_of(how, since, tallies, name);
}

/// As wide as our slot: the event and a header's room.
struct alignas(cache_block) element {
    market_event event;
};
static_assert(sizeof(element) == 128);
using element_ring = spsc_ring<element, ring_capacity>;

/// Threads that wait for each other before the clock starts.
class crew {
  public:
    template <class Work>
    void add(Work&& work) {
        threads_.emplace_back([this, work = std::forward<Work>(work)]() mutable {
            ready_.fetch_add(1, std::memory_order_release);  // pairs with await()
            work();
        });
    }
    void await() const {
        patience waiting;
        while (ready_.load(std::memory_order_acquire) != threads_.size()) {  // pairs with add()
            waiting.wait();
        }
    }
    void join() { threads_.clear(); }

  private:
    std::atomic<std::size_t> ready_{0};
    std::vector<std::jthread> threads_;
};

void consume(element_ring& from, tally& into) noexcept {
    patience waiting;
    while (!into.finished()) {
        if (const element* const next = from.front(); next != nullptr) {
            into.take(next->event);
            from.release();
            waiting.reset();
        } else {
            waiting.wait();
        }
    }
}

template <class Ring>
auto* reserve(Ring& in) noexcept {
    patience waiting;
    auto* place = in.try_reserve();
    while (place == nullptr) {
        waiting.wait();
        place = in.try_reserve();
    }
    return place;
}

}  // namespace

measured run_spsc_rings(const reference_run& how) {
    std::deque<tally> tallies = tallies_for(how);
    std::vector<std::unique_ptr<element_ring>> rings;
    crew consumers;
    for (unsigned i = 0; i < how.consumers; ++i) {
        rings.push_back(std::make_unique<element_ring>());
        consumers.add([&from = *rings[i], &into = tallies[i]] { consume(from, into); });
    }
    consumers.await();
    const stopwatch since;
    for (std::uint64_t i = 0; i < how.events; ++i) {
        market_event event;
        fill(event, i);
        for (const auto& to : rings) {
            reserve(*to)->event = event;
            to->commit();
        }
    }
    consumers.join();
    return result_of(how, since, tallies, "SPSC rings");
}

measured run_one_ring(const reference_run& how) {
    constexpr std::uint64_t most_at_once = 64;  // what a core's first cache holds beside the rest
    std::deque<tally> tallies = tallies_for(how);
    std::vector<tally*> all;
    for (tally& one : tallies) {
        all.push_back(&one);
    }
    const auto ring = std::make_unique<one_ring<ring_capacity>>();
    crew worker;
    worker.add([&] {
        patience waiting;
        while (!all.back()->finished()) {
            const std::uint64_t first = ring->begin();
            const std::uint64_t last = std::min(ring->end(), first + most_at_once);
            if (first == last) {
                waiting.wait();
                continue;
            }
            waiting.reset();
            for (tally* const consumer : all) {
                for (std::uint64_t at = first; at != last; ++at) {
                    consumer->take(ring->at(at));
                }
            }
            ring->release(last);
        }
    });
    worker.await();
    const stopwatch since;
    for (std::uint64_t i = 0; i < how.events; ++i) {
        market_event* const place = reserve(*ring);
        *place = market_event{};
        fill(*place, i);
        ring->commit();
    }
    worker.join();
    return result_of(how, since, tallies, "one ring");
}

measured run_copying_loop(const reference_run& how) {
    std::deque<tally> tallies = tallies_for(how);
    std::vector<std::function<void(const element&)>> consumers;
    for (tally& one : tallies) {
        consumers.emplace_back([&one](const element& copy) { one.take(copy.event); });
    }
    std::vector<element> copies(how.consumers);
    return run_on_this_thread(how, tallies, "loop with copies", [&](const market_event& event) {
        for (std::size_t i = 0; i < consumers.size(); ++i) {
            copies[i].event = event;
            consumers[i](copies[i]);
        }
    });
}

measured run_plain_loop(const reference_run& how) {
    std::deque<tally> tallies = tallies_for(how);
    std::vector<std::function<void(const market_event&)>> consumers;
    for (tally& one : tallies) {
        consumers.emplace_back([&one](const market_event& event) { one.take(event); });
    }
    return run_on_this_thread(how, tallies, "loop", [&](const market_event& event) {
        for (const auto& consumer : consumers) {
            consumer(event);
        }
    });
}

#if defined(ROPEWAY_BENCH_BOOST)
measured run_signals2(const reference_run& how) {
    std::deque<tally> tallies = tallies_for(how);
    boost::signals2::signal<void(const market_event&)> signal;
    for (tally& one : tallies) {
        signal.connect([&one](const market_event& event) { one.take(event); });
    }
    return run_on_this_thread(how, tallies, "Boost.Signals2",
                              [&](const market_event& event) { signal(event); });
}
#endif

measured run_parallel_for(const reference_run& how) {
    std::deque<tally> tallies = tallies_for(how);
    return run_on_this_thread(how, tallies, "parallel_for", [&](const market_event& event) {
        tbb::parallel_for(
            tbb::blocked_range<std::size_t>{0, tallies.size(), 1},
            [&](const tbb::blocked_range<std::size_t>& some) {
                for (std::size_t i = some.begin(); i != some.end(); ++i) {
                    tallies[i].take(event);
                }
            },
            tbb::simple_partitioner{});
    });
}

measured run_task_group(const reference_run& how) {
    std::deque<tally> tallies = tallies_for(how);
    tbb::task_group group;
    return run_on_this_thread(how, tallies, "task_group", [&](const market_event& event) {
        for (tally& one : tallies) {
            group.run([&one, &event] { one.take(event); });
        }
        group.wait();
    });
}

measured run_flow_graph(const reference_run& how) {
    std::deque<tally> tallies = tallies_for(how);
    tbb::flow::graph graph;
    tbb::flow::broadcast_node<market_event> source{graph};
    std::deque<tbb::flow::function_node<market_event>> nodes;
    for (tally& one : tallies) {
        nodes.emplace_back(graph, tbb::flow::serial,
                           [&one](const market_event& event) { one.take(event); });
        tbb::flow::make_edge(source, nodes.back());
    }
    constexpr std::uint64_t in_flight = 1024;
    std::uint64_t sent = 0;
    const stopwatch since;
    market_event event;
    for (std::uint64_t i = 0; i < how.events; ++i) {
        fill(event, i);
        source.try_put(event);
        if (++sent % in_flight == 0) {
            graph.wait_for_all();  // its queues have no bound
        }
    }
    graph.wait_for_all();
    return result_of(how, since, tallies, "flow graph");
}

measured run_moodycamel(const reference_run& how) {
    constexpr std::int64_t in_flight = 1024;
    std::deque<tally> tallies = tallies_for(how);
    recycler back;
    event_pool<market_event> pool{
        {.name = "duplicates", .slots = 4096 * (how.consumers + 1), .back = &back}};
    struct lane {
        moodycamel::ConcurrentQueue<pooled<market_event>> queue{in_flight};
        moodycamel::ProducerToken token{queue};
        alignas(cache_block) std::atomic<std::int64_t> taken{0};
    };
    std::vector<std::unique_ptr<lane>> lanes;
    crew consumers;
    for (unsigned i = 0; i < how.consumers; ++i) {
        lanes.push_back(std::make_unique<lane>());
        consumers.add([&from = *lanes[i], &into = tallies[i]] {
            constexpr std::size_t most = 64;
            std::vector<pooled<market_event>> some(most);
            patience waiting;
            std::int64_t taken = 0;
            while (!into.finished()) {
                const std::size_t n =
                    from.queue.try_dequeue_bulk_from_producer(from.token, some.begin(), most);
                if (n == 0) {
                    waiting.wait();
                    continue;
                }
                waiting.reset();
                for (std::size_t k = 0; k < n; ++k) {
                    into.take(*some[k]);
                    some[k].reset();
                }
                from.taken.store(taken += static_cast<std::int64_t>(n),
                                 std::memory_order_release);  // pairs with the producer's load
            }
        });
    }
    consumers.await();
    const stopwatch since;
    measured out;
    for (std::uint64_t i = 0; i < how.events; ++i) {
        market_event event;
        fill(event, i);
        for (const auto& to : lanes) {
            patience waiting;
            // Acquire pairs with the consumer's release: its duplicates are back.
            while (static_cast<std::int64_t>(i) - to->taken.load(std::memory_order_acquire) >=
                   in_flight) {
                waiting.wait();
            }
            pooled<market_event> copy = pool.get_for_overwrite();
            while (!copy) {
                waiting.wait();
                copy = pool.get_for_overwrite();
            }
            *copy = event;
            to->queue.enqueue(to->token, std::move(copy));
        }
    }
    consumers.join();
    return result_of(how, since, tallies, "moodycamel queues");
}

}  // namespace ropeway::bench
