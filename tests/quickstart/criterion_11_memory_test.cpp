// SPDX-License-Identifier: Apache-2.0
//
// 000-SC-011: a pool of ten open connections needs less than 100 MB; of ours, less than 1 MB.
#include <malloc.h>

#include <cstdio>

#include <unistd.h>

#include "quickstart_postgres.hpp"

namespace {

using namespace quickstart;

std::size_t resident_bytes() {
    std::FILE* const file = std::fopen("/proc/self/statm", "re");
    unsigned long all = 0;
    unsigned long resident = 0;
    if (file != nullptr) {
        if (std::fscanf(file, "%lu %lu", &all, &resident) != 2) {
            resident = 0;
        }
        std::fclose(file);
    }
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

TEST_CASE("000-SC-011: ten open connections need less than 100 MB, of ours less than 1 MB") {
    static_cast<void>(ropeway_test::shared_server());
    const std::size_t resident_before = resident_bytes();
    const auto pool = make_pool({.name = "sc11", .min_size = 10});
    REQUIRE(start_error(*pool) == "");
    const std::size_t resident_after = resident_bytes();
    CHECK(pool->snapshot().total == 10);
    // Ours alone: the same pool over resources that keep next to nothing.
    virtual_time time;
    fake_server server{time};
    const std::size_t before = ::mallinfo2().uordblks;
    fake_pool ours{server.maker(), {.name = "sc11", .min_size = 10, .time = &time}};
    REQUIRE_FALSE(ours.start().has_value());
    const std::size_t after = ::mallinfo2().uordblks;
    const std::size_t grown =
        resident_after > resident_before ? resident_after - resident_before : 0;
    ropeway_test::say("ten connections: %zu KiB resident, of ours %zu bytes\n", grown / 1024,
                      after - before);
    CHECK(grown < 100'000'000);
    CHECK(after - before < 1'000'000);
}

}  // namespace
