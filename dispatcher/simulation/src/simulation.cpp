// SPDX-License-Identifier: Apache-2.0
#include <ropeway/dispatcher/simulation.hpp>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "scheduler.hpp"

namespace ropeway::simulation {
namespace {

using detail::simulated::scheduler;

/// The scheduler of the calling thread's simulation; the program ends without one.
[[nodiscard]] scheduler& here() noexcept {
    scheduler* const now = scheduler::current();
    if (now == nullptr) {
        std::terminate();
    }
    return *now;
}

/// The environment's seeds in place of the caller's: "n", or "n..m".
void use_seeds_asked_for(std::uint64_t& first, std::uint64_t& seeds) {
    const char* const text = std::getenv("ROPEWAY_SEED");
    if (text == nullptr || *text == '\0') {
        return;
    }
    const char* const end = text + std::strlen(text);
    std::uint64_t last = 0;
    std::from_chars_result read = std::from_chars(text, end, first);
    last = first;
    if (read.ec == std::errc{} && end - read.ptr > 2 && read.ptr[0] == '.' && read.ptr[1] == '.') {
        read = std::from_chars(read.ptr + 2, end, last);
    }
    if (read.ec != std::errc{} || read.ptr != end || last < first) {
        throw std::invalid_argument(std::string{"ROPEWAY_SEED is \""} + text +
                                    "\", and must be a seed, such as 17, or a range of them, such "
                                    "as 1..100000.");
    }
    seeds = last - first + 1;
}

}  // namespace

std::string result::text() const {
    if (passed) {
        return "passed: " + std::to_string(runs) + " seeds, " + std::to_string(points) +
               " scheduling points, " + std::to_string(switches) + " switches";
    }
    return "seed " + std::to_string(seed) + ": " + failure +
           " (again: ROPEWAY_SEED=" + std::to_string(seed) + ")";
}

result run(const params& with, const std::function<void()>& body) {
    if (scheduler::current() != nullptr) {
        throw std::logic_error("simulation::run() inside of a simulation.");
    }
    scheduler one{with};
    one.run(body);
    result out;
    out.failure = one.failure();
    out.passed = out.failure.empty();
    out.seed = with.seed;
    out.runs = 1;
    out.points = one.points();
    out.switches = one.switches();
    out.virtually = one.now();
    out.trace = one.trace();
    return out;
}

result explore(const exploration& with, const std::function<void()>& body) {
    params one{
        .seed = with.first_seed, .most_points = with.most_points, .stack_bytes = with.stack_bytes};
    std::uint64_t seeds = with.seeds;
    use_seeds_asked_for(one.seed, seeds);
    result out;
    out.passed = true;
    for (std::uint64_t i = 0; i < seeds && out.passed; ++i, ++one.seed) {
        const result before = out;
        out = run(one, body);
        out.runs += before.runs;
        out.points += before.points;
        out.switches += before.switches;
        out.virtually += before.virtually;
    }
    return out;
}

void pass(std::chrono::nanoseconds time) noexcept { detail::simulated::pass(time); }
std::chrono::nanoseconds now() noexcept { return detail::simulated::now(); }

bool eventually(const std::function<bool()>& done, std::chrono::nanoseconds most) {
    const auto until = now() + most;
    std::chrono::nanoseconds step{1000};
    while (!done()) {
        if (now() >= until) {
            return false;
        }
        pass(step);
        step = std::min<std::chrono::nanoseconds>(step + step / 8, std::chrono::milliseconds{1});
    }
    return true;
}

std::uint64_t random(std::uint64_t below) noexcept { return here().drawn().below(below); }
std::uint64_t seed() noexcept { return here().seed(); }
void fail(std::string_view what) noexcept { here().fail(what); }
void plant(detail::planted_bug which) noexcept { detail::simulated::planted_now = which; }

}  // namespace ropeway::simulation
