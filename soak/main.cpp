// SPDX-License-Identifier: Apache-2.0
//
// ropeway-soak: reads the command line, proves that the run can start and its verdict be written,
// runs, prints and writes the verdict. Exit: 0 pass, 1 fail, 2 bad usage. SIGINT and SIGTERM end
// the run with the verdict so far; a second one ends the program at once.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include "options.hpp"
#include "run.hpp"
#include "verdict_file.hpp"

namespace {

std::atomic<bool> interrupted{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

extern "C" void on_signal(int) {
    interrupted.store(true, std::memory_order_relaxed);  // relaxed: a flag, polled
}

void install_handlers() noexcept {
    struct sigaction action {};
    action.sa_handler = &on_signal;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

void print(const std::string& text) { std::fputs(text.c_str(), stdout); }

[[nodiscard]] std::string plan_text(const ropeway::soak::scenario& what) {
    const auto& wanted = what.wanted;
    std::string out = "ropeway-soak: " + std::to_string(wanted.consumers) + " consumers, " +
                      std::to_string(wanted.slow) + " slow, " +
                      std::to_string(wanted.effective_workers()) + " workers (" +
                      std::string{to_string(wanted.executor)} + "), guard " +
                      std::string{ropeway::to_string(wanted.guard)};
    if (what.replay) {
        out += ", replay of " + ropeway::soak::grouped(what.replay->events) + " events";
    } else {
        out += ", generated bursts";
    }
    return out + ", seed " + std::to_string(wanted.seed) + "\n";
}

/// Everything after the command line is understood; returns the exit code.
int soak(const ropeway::soak::options& wanted) {
    const ropeway::soak::verdict_file file{wanted.verdict};
    ropeway::soak::scenario what;
    what.wanted = wanted;
    if (!wanted.replay.empty()) {
        what.replay = ropeway::soak::inspect_replay(wanted);
    }
    install_handlers();
    print(plan_text(what));
    std::fflush(stdout);
    const ropeway::soak::run_result done = ropeway::soak::run(what, stderr, interrupted);
    for (const std::string& each : done.violations) {
        print("violation: " + each + "\n");
    }
    print(consumer_table(done) + to_table(done.result));
    std::fflush(stdout);
    file.write(to_json(done.result));
    return exit_code(done.result);
}

}  // namespace

int main(int count, char** arguments) {
    try {
        const auto wanted = ropeway::soak::parse(
            {arguments + 1, count > 0 ? static_cast<std::size_t>(count - 1) : 0U});
        if (wanted.help) {
            print(std::string{ropeway::soak::help_text()});
            return 0;
        }
        return soak(wanted);
    } catch (const ropeway::soak::usage_error& error) {
        std::fprintf(stderr, "ropeway-soak: %s\n", error.what());
        return 2;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "ropeway-soak: %s\n", error.what());
        return 1;
    }
}
