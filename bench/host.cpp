// SPDX-License-Identifier: Apache-2.0
#include "host.hpp"

#include <sched.h>

#include <atomic>
#include <fstream>
#include <thread>
#include <vector>

#include <ropeway/pool/cache_line.hpp>

#include "commit.hpp"
#include "row.hpp"
#include "stopwatch.hpp"

namespace ropeway::bench {
namespace {

std::string cpu_name() {
    std::ifstream info{"/proc/cpuinfo"};
    for (std::string line; std::getline(info, line);) {
        const std::size_t colon = line.find(':');
        if (line.starts_with("model name") && colon + 2 < line.size()) {
            return line.substr(colon + 2);
        }
    }
    return "unknown processor";
}

unsigned cpus_allowed() {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    return ::sched_getaffinity(0, sizeof allowed, &allowed) == 0
               ? static_cast<unsigned>(CPU_COUNT(&allowed))
               : std::thread::hardware_concurrency();
}

double round_trip_ns() {
    constexpr unsigned rounds = 20;
    constexpr std::uint32_t trips = 2000;
    std::vector<double> found;
    for (unsigned round = 0; round < rounds; ++round) {
        alignas(cache_block) std::atomic<std::uint32_t> ball{0};
        const std::jthread other{[&ball] {
            patience waiting;
            for (std::uint32_t i = 1; i <= trips; ++i) {
                // Acquire and release on both sides: a plain hand-over.
                while (ball.load(std::memory_order_acquire) != 2 * i - 1) {
                    waiting.wait();
                }
                waiting.reset();
                ball.store(2 * i, std::memory_order_release);
            }
        }};
        const stopwatch since;
        patience waiting;
        for (std::uint32_t i = 1; i <= trips; ++i) {
            ball.store(2 * i - 1, std::memory_order_release);  // as above
            while (ball.load(std::memory_order_acquire) != 2 * i) {
                waiting.wait();
            }
            waiting.reset();
        }
        found.push_back(since.seconds() * 1e9 / trips);
    }
    return spread_of(std::move(found)).median;
}

}  // namespace

host_facts look_at_host() {
    host_facts facts{};
    facts.cpu = cpu_name();
    facts.cpus = cpus_allowed();
    facts.round_trip_ns = facts.cpus > 1 ? round_trip_ns() : 0;
    facts.compiler = "g++ " __VERSION__;
    facts.commit = built_from;
#ifdef NDEBUG
    facts.release = true;
#endif
    return facts;
}

}  // namespace ropeway::bench
