// SPDX-License-Identifier: Apache-2.0
//
// The small headers: guard levels, sites, thread numbers, the coarse clock, slot words.
#include <ropeway_test.hpp>

#include <thread>
#include <vector>

#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/guard.hpp>
#include <ropeway/pool/site.hpp>
#include <ropeway/pool/slot.hpp>
#include <ropeway/pool/thread_number.hpp>

using namespace ropeway;

TEST_CASE("guard levels are parsed by their names and by nothing else") {
    for (const auto level : {guard_level::off, guard_level::guard, guard_level::sampled,
                             guard_level::full, guard_level::degenerate}) {
        REQUIRE(parse_guard_level(to_string(level)) == level);
        REQUIRE(guard_level_names.find(to_string(level)) != std::string_view::npos);
    }
    REQUIRE_FALSE(parse_guard_level("Full").has_value());
    REQUIRE_FALSE(parse_guard_level("").has_value());
}

TEST_CASE("a site is the file's own name and the line, the same number each time") {
    const auto here = [](site where = site::here()) { return where.id(); };
    std::vector<site_id> ids;
    constexpr int line = __LINE__ + 2;
    for (int i = 0; i != 3; ++i) {
        ids.push_back(here());
    }
    const site_id other = here();
    REQUIRE(ids[0] == ids[2]);
    REQUIRE(other != ids[0]);
    REQUIRE(site_text(ids[0]) == "small_headers_test.cpp:" + std::to_string(line));
    REQUIRE(site_text(other) == "small_headers_test.cpp:" + std::to_string(line + 2));
}

TEST_CASE("a named site is its name, with the line where there is one") {
    const site_id momentum = intern_site("momentum");
    REQUIRE(intern_site(std::string{"momentum"}) == momentum);
    REQUIRE(intern_site("momentum", 3) != momentum);
    REQUIRE(site_text(momentum) == "momentum");
    REQUIRE(site_text(intern_site("momentum", 3)) == "momentum:3");
    REQUIRE(site_text(known_site::unknown) == "unknown site");
    REQUIRE(site_text(60'000) == "unknown site");
    REQUIRE(site{}.id() == known_site::unknown);
    REQUIRE(site_text(intern_site("")).size() == 1);
}

TEST_CASE("threads that intern the same sites at once agree on their numbers") {
    constexpr std::uint32_t sites = 200;
    std::vector<std::vector<site_id>> found(4, std::vector<site_id>(sites));
    std::vector<std::thread> threads;
    for (auto& mine : found) {
        threads.emplace_back([&mine] {
            for (std::uint32_t i = 0; i != sites; ++i) {
                mine[i] = intern_site("shared", i + 1);
            }
        });
    }
    for (auto& t : threads) {
        t.join();
    }
    for (const auto& mine : found) {
        REQUIRE(mine == found[0]);
    }
    REQUIRE(site_text(found[0][41]) == "shared:42");
}

TEST_CASE("every thread has a number of its own and may have a name") {
    const std::uint16_t mine = thread_number();
    REQUIRE(mine != 0);
    REQUIRE(thread_number() == mine);
    std::uint16_t other = 0;
    std::thread named{[&] {
        name_this_thread("a name that is far too long");
        other = thread_number();
    }};
    named.join();
    REQUIRE(other != mine);
    REQUIRE(thread_text(other) ==
            "a name that is  (thread " + std::to_string(other) + ")");  // 15 bytes are kept
    REQUIRE(thread_text(0) == "unknown thread");
    REQUIRE(thread_text(60'000) == "thread 60000");
}

TEST_CASE("the coarse clock stands still until it is advanced, and ages cross its wrap") {
    const std::uint32_t before = advance_coarse_clock();
    REQUIRE(coarse_now_ms() == before);
    REQUIRE(coarse_now_ms() == before);
    REQUIRE(advance_coarse_clock() >= before);
    REQUIRE(coarse_age_ms(5, 0xFFFF'FFFF) == 6);
}

TEST_CASE("a slot's word and meta keep what was put in") {
    const std::uint64_t word =
        slot_word::make(0xFFFF'FFFF, slot_state::lent, slot_word::sealed, 0xABCD);
    REQUIRE(slot_word::generation(word) == 0xFFFF'FFFF);
    REQUIRE(slot_word::state(word) == slot_state::lent);
    REQUIRE(slot_word::parker(word) == 0xABCD);
    REQUIRE((word & slot_word::flag_mask) == slot_word::sealed);
    REQUIRE(slot_word::of({3, 7}, slot_state::live) == slot_word::make(7, slot_state::live));
    const std::uint64_t meta = make_meta(1, 2, 3);
    REQUIRE(meta_site(meta) == 1);
    REQUIRE(meta_thread(meta) == 2);
    REQUIRE(meta_ms(meta) == 3);
}
