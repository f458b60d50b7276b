// SPDX-License-Identifier: Apache-2.0
//
// ropeway-bench-compare BEFORE.json AFTER.json: the rows of both by ratio. Exit 0; 1 when a row is
// worse by more than 15 % beyond the spread of both; 2 bad usage.
#include <cstdio>
#include <exception>
#include <string_view>

#include "compare.hpp"

int main(int argc, char** argv) {
    using namespace ropeway::bench;
    if (argc != 3 || std::string_view{argv[1]} == "--help") {
        std::fputs(
            "usage: bench/compare BEFORE.json AFTER.json\n\nCompares two files of ./ropeway bench "
            "--json by the rows' ratios. Exit 0; 1 when a row is worse by\nmore than 15 % beyond "
            "the "
            "spread of both; 2 when a file cannot be read.\n",
            argc == 2 ? stdout : stderr);
        return argc == 2 ? 0 : 2;
    }
    try {
        const comparison both = compare_files(argv[1], argv[2]);
        std::fputs(to_text(both).c_str(), stdout);
        return both.regressed() ? 1 : 0;
    } catch (const std::exception& bad) {
        std::fprintf(stderr, "bench/compare: %s\n", bad.what());
        return 2;
    }
}
