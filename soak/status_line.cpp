// SPDX-License-Identifier: Apache-2.0
#include "status_line.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "accounting.hpp"

namespace ropeway::soak {

std::string status_text(const status_facts& facts) {
    std::array<char, 64> part{};
    std::snprintf(part.data(), part.size(), "soak %3.0f %%",
                  std::floor(100.0 * std::clamp(facts.progress, 0.0, 1.0)));
    std::string out = part.data();
    if (facts.eta_seconds) {
        std::snprintf(part.data(), part.size(), ", %.0f s left", std::ceil(*facts.eta_seconds));
        out += part.data();
    }
    out += " | " + grouped(facts.events) + " events, " +
           grouped(static_cast<std::uint64_t>(std::llround(facts.events_per_second))) + " ev/s";
    out += " | in flight " + grouped(facts.in_flight);
    std::snprintf(part.data(), part.size(), " | RSS %.1f MiB",
                  static_cast<double>(facts.rss_bytes) / (1U << 20U));
    out += part.data();
    out += " | failures " + grouped(facts.failures);
    if (facts.violations != 0) {
        out += " | VIOLATIONS " + grouped(facts.violations);
    }
    return out;
}

status_line::status_line(std::FILE* out)
    : out_(out),
      terminal_(out != nullptr && ::isatty(::fileno(out)) == 1),
      next_(std::chrono::steady_clock::now() + std::chrono::seconds{terminal_ ? 0 : 10}) {}

bool status_line::due(std::chrono::steady_clock::time_point now) const noexcept {
    return out_ != nullptr && now >= next_;
}

void status_line::show(const status_facts& facts, std::chrono::steady_clock::time_point now) {
    next_ = now + (terminal_ ? std::chrono::milliseconds{200} : std::chrono::milliseconds{10'000});
    const std::string text = status_text(facts);
    std::fprintf(out_, terminal_ ? "\r\033[K%s" : "%s\n", text.c_str());
    std::fflush(out_);
    open_ = terminal_;
}

void status_line::finish() {
    if (open_) {
        std::fputc('\n', out_);
        std::fflush(out_);
        open_ = false;
    }
}

}  // namespace ropeway::soak
