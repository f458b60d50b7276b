// SPDX-License-Identifier: Apache-2.0
//
// Every way to misuse a lease that a pool can see: each is reported once, names both parties, and
// harms nobody else.
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ropeway/pool/resource_pool.hpp>

#include "pool_test.hpp"
#include "ropeway_test.hpp"
#include "scripted_resource.hpp"

using namespace std::chrono_literals;
using ropeway::violation_kind;
using ropeway_test::made_by;
using ropeway_test::recorder;
using ropeway_test::scripted_end;
using ropeway_test::scripted_pool;
using scripted_lease = ropeway::lease<ropeway_test::scripted_resource>;

namespace {

ropeway::resource_pool_params one_slot() {
    ropeway::resource_pool_params params;
    params.name = "misused";
    params.min_size = 1;
    params.max_size = 1;
    return params;
}

std::string_view text(const std::array<char, 32>& of) { return of.data(); }

/// What a child prints to its descriptor 2 before `act` ends it by SIGABRT; empty if it does not.
template <class Act>
std::string last_words(Act act) {
    std::array<int, 2> ends{};
    REQUIRE(pipe(ends.data()) == 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        act();
        _exit(0);
    }
    close(ends[1]);
    std::string said;
    std::array<char, 4096> some{};
    for (ssize_t got = 0; (got = read(ends[0], some.data(), some.size())) > 0;) {
        said.append(some.data(), static_cast<std::size_t>(got));
    }
    close(ends[0]);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGABRT);
    return said;
}

bool has(const std::string& where, const std::string& what) {
    return where.find(what) != std::string::npos;
}

}  // namespace

TEST_CASE(
    "a ticket that is given back twice is a double put, and the second call changes nothing") {
    recorder seen;
    scripted_end end;
    scripted_pool pool(made_by(end), one_slot());
    REQUIRE_FALSE(pool.start().has_value());
    auto [raw, ticket] = pool.lend(pool.acquire(1s).take());
    REQUIRE(raw != nullptr);
    CHECK(pool.give_back(ticket));
    CHECK_FALSE(pool.give_back(ticket));
    REQUIRE(seen.count() == 1);
    CHECK(seen.last().kind == violation_kind::double_put);
    CHECK(text(seen.last().pool) == "misused");
    CHECK(seen.last().first.action == ropeway::slot_action::put);
    CHECK(seen.last().second.action == ropeway::slot_action::put);
    CHECK(seen.last().first.site != seen.last().second.site);
    CHECK(seen.last().generation_found == seen.last().generation_held + 1);
    CHECK(pool.snapshot().idle == 1);
    CHECK(pool.snapshot().released == 1);
}

TEST_CASE("a ticket that is given back after reuse does not take the lease of the next holder") {
    recorder seen;
    scripted_end end;
    scripted_pool pool(made_by(end), one_slot());
    REQUIRE_FALSE(pool.start().has_value());
    auto [raw, ticket] = pool.lend(pool.acquire(1s).take());
    REQUIRE(pool.give_back(ticket));
    auto next = pool.acquire(1s);
    REQUIRE(next);
    CHECK_FALSE(pool.give_back(ticket));
    REQUIRE(seen.count() == 1);
    CHECK(seen.last().kind == violation_kind::put_after_reuse);
    CHECK(seen.last().first.action == ropeway::slot_action::acquired);
    CHECK(pool.snapshot().active == 1);
    next->use();
    next.held().reset();
    CHECK(seen.count() == 1);
    CHECK(raw->uses == 1);
}

TEST_CASE("a ticket shows its resource while it is out and is a stale read afterwards") {
    recorder seen;
    scripted_end end;
    scripted_pool pool(made_by(end), one_slot());
    REQUIRE_FALSE(pool.start().has_value());
    auto [raw, ticket] = pool.lend(pool.acquire(1s).take());
    CHECK(pool.peek(ticket) == raw);
    CHECK(seen.count() == 0);
    REQUIRE(pool.give_back(ticket));
    CHECK(pool.peek(ticket) == nullptr);
    REQUIRE(seen.count() == 1);
    CHECK(seen.last().kind == violation_kind::stale_read);
}

TEST_CASE("a ticket of no slot is a foreign pointer") {
    recorder seen;
    scripted_end end;
    scripted_pool pool(made_by(end), one_slot());
    REQUIRE_FALSE(pool.start().has_value());
    CHECK_FALSE(pool.give_back({.slot = 77, .generation = 1}));
    CHECK_FALSE(pool.give_back({.slot = 0, .generation = 0}));
    CHECK_FALSE(pool.give_back({.slot = 0, .generation = 1000}));
    CHECK(pool.peek({.slot = 77, .generation = 1}) == nullptr);
    CHECK(seen.count(violation_kind::foreign_pointer) == 4);
    CHECK(pool.snapshot().idle == 1);
}

TEST_CASE("a lease that was copied byte by byte comes back once") {
    recorder seen;
    scripted_end end;
    scripted_pool pool(made_by(end), one_slot());
    REQUIRE_FALSE(pool.start().has_value());
    alignas(scripted_lease) std::array<std::byte, sizeof(scripted_lease)> bytes;
    {
        auto got = pool.acquire(1s);
        REQUIRE(got);
        std::memcpy(bytes.data(), static_cast<const void*>(&got.held()), bytes.size());
    }
    std::launder(reinterpret_cast<scripted_lease*>(bytes.data()))->reset();
    REQUIRE(seen.count() == 1);
    CHECK(seen.last().kind == violation_kind::double_put);
    CHECK(pool.snapshot().released == 1);
}

TEST_CASE("the leak report counts leases by site, and a pool's end reports each site once") {
    recorder seen;
    scripted_end end;
    auto params = one_slot();
    params.max_size = 5;
    {
        scripted_pool pool(made_by(end), params);
        REQUIRE_FALSE(pool.start().has_value());
        CHECK(pool.leak_report().clean());
        std::vector<ropeway::lease_ticket> out;
        for (int i = 0; i != 3; ++i) {
            out.push_back(pool.lend(pool.acquire(1s).take()).second);
        }
        out.push_back(pool.lend(pool.acquire(1s).take()).second);
        const auto report = pool.leak_report();
        CHECK(report.pool == "misused");
        CHECK(report.outstanding == 4);
        REQUIRE(report.sites.size() == 2);
        CHECK(report.sites[0].count == 3);
        CHECK(report.sites[0].oldest_slot == out[0].slot);
        CHECK(report.sites[0].where.find("resource_misuse_test.cpp") != std::string::npos);
        CHECK(report.sites[1].count == 1);
        CHECK(report.sites[1].oldest_slot == out[3].slot);
        CHECK(has(to_string(report), "4 slot(s) outstanding"));
        CHECK(has(to_string(report), "3 from "));
        CHECK_FALSE(pool.shutdown(1ms).clean());
    }
    REQUIRE(seen.count(violation_kind::leak) == 2);
    CHECK(seen.last().count == 1);
    CHECK(text(seen.last().pool) == "misused");
}

TEST_CASE("a lease that was given back cannot doom or use up what its next holder has") {
    scripted_end end;
    auto params = one_slot();
    params.max_uses = 10;
    scripted_pool pool(made_by(end), params);
    REQUIRE_FALSE(pool.start().has_value());
    scripted_lease old = pool.acquire(1s).take();
    const std::uint32_t slot = old.ticket().slot;
    old.reset();
    auto next = pool.acquire(1s);
    REQUIRE(next);
    REQUIRE(next.held().ticket().slot == slot);
    old.doom();
    old.add_uses(100);
    scripted_lease moved = next.take();
    scripted_lease last = std::move(moved);
    moved.doom();
    last.reset();
    CHECK(pool.snapshot().idle == 1);
    CHECK(pool.snapshot().closed == decltype(ropeway::resource_snapshot::closed){});
}

TEST_CASE("of threads that give one ticket back at once one succeeds, each time") {
    recorder seen;
    scripted_end end;
    scripted_pool pool(made_by(end), one_slot());
    REQUIRE_FALSE(pool.start().has_value());
    constexpr int rounds = ropeway_test::sanitized ? 200 : 2000;
    constexpr unsigned threads = 3;
    ropeway_test::spin_barrier barrier(threads + 1);
    ropeway::lease_ticket ticket;
    std::atomic<int> taken{0};
    std::vector<std::thread> all;
    for (unsigned i = 0; i != threads; ++i) {
        all.emplace_back([&] {
            for (int round = 0; round != rounds; ++round) {
                barrier.wait();
                taken += pool.give_back(ticket) ? 1 : 0;
                barrier.wait();
            }
        });
    }
    bool wrong = false;
    for (int round = 0; round != rounds; ++round) {
        ticket = pool.lend(pool.acquire(5s).take()).second;
        barrier.wait();
        barrier.wait();
        wrong = wrong || taken != round + 1 || pool.snapshot().idle != 1;
    }
    for (auto& each : all) {
        each.join();
    }
    CHECK_FALSE(wrong);
    CHECK(taken == rounds);
    CHECK(end.shared == 0);
    CHECK(seen.count(violation_kind::double_put) == rounds * (threads - 1));
    CHECK(pool.snapshot().released == static_cast<std::uint64_t>(rounds));
}

TEST_CASE("under throw_error an explicit call throws and a lease's end does not") {
    recorder seen;
    scripted_end end;
    auto params = one_slot();
    params.on_violation = ropeway::violation_policy::throw_error;
    scripted_pool pool(made_by(end), params);
    REQUIRE_FALSE(pool.start().has_value());
    auto [raw, ticket] = pool.lend(pool.acquire(1s).take());
    CHECK(raw != nullptr);
    CHECK(pool.give_back(ticket));
    CHECK_THROWS_AS(pool.give_back(ticket), ropeway::violation_error);
    {
        auto got = pool.acquire(1s);
        REQUIRE(got);
        REQUIRE(pool.give_back(got.held().ticket()));
    }  // the lease's end is the second return
    CHECK(seen.count(violation_kind::double_put) == 2);
    CHECK(pool.snapshot().idle == 1);
}

TEST_CASE(
    "a lease that outlives the pool object is reported as a leak, with the site of its holder") {
    recorder seen;
    scripted_end end;
    ropeway::lease_ticket ticket;
    {
        scripted_pool pool(made_by(end), one_slot());
        REQUIRE_FALSE(pool.start().has_value());
        ticket = pool.lend(pool.acquire(1s).take()).second;
        CHECK_FALSE(pool.shutdown(1ms).clean());
    }
    REQUIRE(seen.count() == 1);
    CHECK(seen.last().kind == violation_kind::leak);
    CHECK(seen.last().generation_held == ticket.generation);
    CHECK(ropeway::site_text(seen.last().first.site).find("resource_misuse_test") !=
          std::string_view::npos);
    CHECK(end.alive == 0);
}

TEST_CASE(
    "a use after return ends the program, and its last words name pool, slot and both sides") {
    scripted_end end;
    scripted_pool pool(made_by(end), one_slot());
    REQUIRE_FALSE(pool.start().has_value());
    auto got = pool.acquire(1s);
    REQUIRE(got);
    const ropeway::site back = ropeway::site::here();
    got.held().reset(back.id());
    const std::string said = last_words([&] { got.held()->use(); });
    CAPTURE(said);
    const std::string mine{ropeway::thread_text(ropeway::thread_number())};
    CHECK(has(said, "stale read: pool \"misused\", slot 0, generation held 1, found 2 (free)."));
    CHECK(has(said, "First: put by " + std::string{ropeway::site_text(back.id())} + " on " + mine));
    CHECK(has(said, "then: read by " + std::string{ropeway::site_text(0)} + " on "));
    CHECK(has(said, "Stack of this report: 0x"));
    CHECK(pool.snapshot().idle == 1);
}

TEST_CASE("a use of a lease that was moved from names who acquired what it no longer holds") {
    scripted_end end;
    scripted_pool pool(made_by(end), one_slot());
    REQUIRE_FALSE(pool.start().has_value());
    auto got = pool.acquire(1s);
    REQUIRE(got);
    const scripted_lease holder = std::move(got.held());
    const std::string said = last_words([&] { got.held()->use(); });
    CAPTURE(said);
    CHECK(
        has(said, "pool \"misused\", slot 0, generation held 1, found 1 (live). First: acquired"));
    CHECK(has(said, "resource_misuse_test"));
}

TEST_CASE("a use of a lease without a pool, or whose pool is gone, is a stale read all the same") {
    scripted_lease gone;
    {
        scripted_end end;
        scripted_pool pool(made_by(end), one_slot());
        REQUIRE_FALSE(pool.start().has_value());
        gone = pool.acquire(1s).take();
        gone.reset();
    }
    CHECK(
        has(last_words([&] { gone->use(); }), "stale read: pool \"\", slot 0, generation held 1"));
    const scripted_lease never;
    CHECK(
        has(last_words([&] { never->use(); }), "stale read: pool \"\", slot 0, generation held 0"));
}
