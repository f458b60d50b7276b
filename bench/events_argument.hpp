// SPDX-License-Identifier: Apache-2.0
//
// The command line of the programs that ropeway-bench runs beside itself: a number of events.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string_view>

namespace ropeway::bench {

/// The one argument, 1 or more. 0, and the usage on stderr, where it is anything else.
[[nodiscard]] inline std::uint64_t events_argument(int argc, char** argv, const char* program) {
    const std::string_view text = argc == 2 ? argv[1] : "";
    std::uint64_t events = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), events);
    if (error != std::errc{} || end != text.data() + text.size() || events == 0) {
        std::fprintf(stderr, "usage: %s EVENTS (1 or more)\n", program);
        return 0;
    }
    return events;
}

}  // namespace ropeway::bench
