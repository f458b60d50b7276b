// SPDX-License-Identifier: Apache-2.0
//
// ropeway-bench-malloc EVENTS: malloc on one thread, free on another, a ring in between; prints ns
// per event. Run with another allocator in front (LD_PRELOAD), it measures that one. Exit 0; 1 when
// the checksum is wrong; 2 bad usage.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "events_argument.hpp"
#include "pass_across.hpp"

int main(int argc, char** argv) {
    using namespace ropeway;
    const std::uint64_t events = bench::events_argument(argc, argv, "ropeway-bench-malloc");
    if (events == 0) {
        return 2;
    }
    const bench::measured out = bench::pass_across<market_event*>(
        events,
        [](market_event*& to, std::uint64_t number) {
            to = static_cast<market_event*>(std::malloc(sizeof(market_event)));
            if (to == nullptr) {
                std::abort();
            }
            bench::fill(*to, number);
        },
        [](market_event*& from) {
            const std::uint64_t user = from->user;
            std::free(from);
            return user;
        });
    for (const std::string& fault : out.faults) {
        std::printf("%s\n", fault.c_str());
    }
    std::printf("%.3f\n", out.value);
    return out.faults.empty() ? 0 : 1;
}
