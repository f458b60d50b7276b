// SPDX-License-Identifier: Apache-2.0
//
// ropeway-bench: measures ours and the references interleaved, prints host facts and a table, and
// writes the rows as JSON. Exit 0, 1 (a wrong count, or a file that could not be written) or 2.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <span>
#include <vector>

#include "host.hpp"
#include "options.hpp"
#include "result.hpp"
#include "suites.hpp"

namespace ropeway::bench {

void show_progress(std::string_view what, unsigned round, unsigned rounds) {
    if (::isatty(STDERR_FILENO) == 0) {
        return;
    }
    std::fprintf(stderr, "\r\033[K%.*s: round %u of %u", static_cast<int>(what.size()), what.data(),
                 round + 1, rounds);
    if (round + 1 == rounds) {
        std::fputs("\r\033[K", stderr);
    }
}

namespace {

int run(const options& asked) {
    const host_facts host = look_at_host();
    std::fputs(to_text(host).c_str(), stdout);
    std::fflush(stdout);
    std::vector<row> rows;
    for (const suite& one : suites) {
        if (asked.suite.empty() || asked.suite == one.name) {
            std::vector<row> measured = one.run(asked.how);
            std::printf("\n%s", to_table(measured).c_str());
            std::fflush(stdout);
            std::move(measured.begin(), measured.end(), std::back_inserter(rows));
        }
    }
    if (!asked.json.empty()) {
        std::ofstream file{asked.json, std::ios::trunc};
        file << to_json(host, rows);
        file.close();
        if (!file) {
            std::fprintf(stderr,
                         "ropeway-bench: %s could not be written; is its disk full, or the folder "
                         "not yours?\n",
                         asked.json.c_str());
            return 1;
        }
    }
    const bool sound =
        std::all_of(rows.begin(), rows.end(), [](const row& one) { return one.faults.empty(); });
    return sound ? 0 : 1;
}

}  // namespace
}  // namespace ropeway::bench

int main(int argc, char** argv) {
    using namespace ropeway::bench;
    try {
        const options asked = parse(std::span<const char* const>(argv + 1, argv + argc));
        if (asked.help) {
            std::fwrite(usage.data(), 1, usage.size(), stdout);
            return 0;
        }
        return run(asked);
    } catch (const usage_error& refused) {
        std::fprintf(stderr, "ropeway-bench: %s\n", refused.what());
        return 2;
    } catch (const std::exception& failed) {
        std::fprintf(stderr, "ropeway-bench: %s\n", failed.what());
        return 1;
    }
}
