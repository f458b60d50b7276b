// SPDX-License-Identifier: Apache-2.0
//
// ropeway-bench: measures ours and the references interleaved, prints host facts and a table, and
// writes the rows as JSON. Exit 0, 1 (a wrong count, or a file that could not be written) or 2.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "growth.hpp"
#include "host.hpp"
#include "options.hpp"
#include "result.hpp"
#include "suites.hpp"

namespace ropeway::bench {

namespace {

bool write(const std::string& path, const std::string& text) {
    std::ofstream file{path, std::ios::trunc};
    file << text;
    file.close();
    if (!file) {
        std::fprintf(stderr,
                     "ropeway-bench: %s could not be written; is its disk full, or the folder not "
                     "yours?\n",
                     path.c_str());
    }
    return !file.fail();
}

int run(const options& asked) {
    const host_facts host = look_at_host();
    std::fputs(to_text(host).c_str(), stdout);
    std::fflush(stdout);
    std::vector<row> rows;
    for (const suite& one : suites) {
        if (asked.suite == one.name || (asked.suite.empty() && asked.plots.empty())) {
            std::vector<row> measured = one.run(asked.how);
            std::printf("\n%s", to_table(measured).c_str());
            if (const std::string tails = to_percentiles(measured); !tails.empty()) {
                std::printf("\n%s", tails.c_str());
            }
            std::fflush(stdout);
            std::move(measured.begin(), measured.end(), std::back_inserter(rows));
        }
    }
    if (!asked.plots.empty()) {
        for (const auto& [name, svg] : plots_of_growth(host, asked.how)) {
            if (!write(asked.plots + "/" + name, svg)) {
                return 1;
            }
        }
    }
    for (const row& one : rows) {
        if (!asked.hgrm.empty() && one.times.count() != 0 &&
            !write(asked.hgrm + "/" + one.id + ".hgrm", to_hgrm(one))) {
            return 1;
        }
    }
    if (!asked.json.empty() && !write(asked.json, to_json(host, rows))) {
        return 1;
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
