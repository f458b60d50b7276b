// SPDX-License-Identifier: Apache-2.0
//
// The soak: writers, and somebody who ends their sessions at random in every way. What was
// acknowledged is at the server, once; what is there beyond that was said to be unknown.
#include "fault_test.hpp"

#include <ropeway/pool/postgres/transaction.hpp>

#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <stdexcept>

using namespace ropeway_test;
using ropeway::postgres::transaction;

namespace {

constexpr auto duration = 10s;
constexpr std::size_t writers = 4;

// Rows acknowledged so far by all writers. Relaxed: a count that publishes nothing else.
std::atomic<std::uint64_t> progress{0};

// What one writer did. Numbers are unique over all writers.
struct journal {
    std::vector<std::uint64_t> acknowledged{};
    std::vector<std::uint64_t> unknown{};
    std::map<resource_error_kind, std::uint64_t> refused{};
};

std::string insert(std::uint64_t number) {
    return "insert into marks values (" + std::to_string(number) + ")";
}

// One row in one transaction, without a key: its COMMIT may be unknown.
void write_plainly(pg_pool& pool, std::uint64_t number, journal& into) {
    auto held = pool.acquire(10s);
    if (!held) {
        ++into.refused[held.error().kind];
        return;
    }
    transaction within{*held, {.timeout = 5s}};
    auto error = within ? within.exec(insert(number)).error() : within.error();
    if (!error) {
        error = within.commit();
    }
    if (!error) {
        into.acknowledged.push_back(number);
        progress.fetch_add(1, std::memory_order_relaxed);
    } else if (error.kind == resource_error_kind::commit_unknown) {
        into.unknown.push_back(number);
    } else {
        ++into.refused[error.kind];
    }
}

// The same with a key: in the end it is done, once, or known not to be.
void write_under_a_key(pg_pool& pool, std::uint64_t number, journal& into) {
    const auto outcome = ropeway::postgres::run_transaction(
        pool, {.key = std::to_string(number), .max_attempts = 20, .timeout = 20s},
        [&](transaction& within) { return within.exec(insert(number)).error(); });
    if (outcome) {
        into.acknowledged.push_back(number);
        progress.fetch_add(1, std::memory_order_relaxed);
    } else if (outcome.error.kind == resource_error_kind::commit_unknown) {
        into.unknown.push_back(number);
    } else {
        ++into.refused[outcome.error.kind];
    }
}

// Lets the writers get on by so many rows, or see that they do not: on any machine, however slow,
// work is done between two blows, and some blows hit what the one before left.
void let_work(std::uint64_t rows) {
    const auto from = progress.load(std::memory_order_relaxed);
    (void)wait_until([&] { return progress.load(std::memory_order_relaxed) >= from + rows; },
                     300ms);
}

// Ends sessions at random until time is up. @return how many blows it dealt
std::size_t strike(postgres_server& server, fault_proxy& proxy, std::uint64_t seed) {
    std::mt19937_64 random{seed};
    const auto until = steady::now() + duration;
    std::size_t blows = 0;
    while (steady::now() < until) {
        let_work(random() % 60);
        const auto sessions = server.backends();
        if (sessions.empty()) {
            continue;
        }
        const pid_t victim = sessions[random() % sessions.size()];
        switch (random() % 12) {
            case 0: proxy.cut(cut_kind::rst); break;
            case 1: proxy.cut(cut_kind::fin); break;
            case 2:
            case 3:
                proxy.set(random() % 2 == 0 ? flow_direction::to_server : flow_direction::to_client,
                          {.cut_after = random() % 400}, flow_scope::open_ones);
                break;
            // As a fault of the process itself: the server drops all sessions and recovers.
            case 4: server.signal_backend(victim, random() % 4 == 0 ? SIGKILL : SIGTERM); break;
            default: server.signal_backend(victim, SIGTERM); break;
        }
        ++blows;
    }
    proxy.heal();
    return blows;
}

void make_tables(const postgres_server& server) {
    server.exec("drop table if exists marks");
    server.exec("create table marks(n bigint)");
    server.exec("grant all on marks to rider");
    server.exec("drop table if exists ropeway_idempotency");
    server.exec(ropeway::postgres::idempotency_table());
    server.exec("grant all on ropeway_idempotency to rider");
}

// ROPEWAY_SEED=17 repeats a run as far as the machine lets it. Of a range, as the presets give it
// to programs that run many seeds, one is drawn, and of nothing any.
std::uint64_t a_seed(const char* given) {
    std::random_device any;
    const std::string_view text = given == nullptr ? "" : given;
    std::array<std::uint64_t, 2> ends{};
    const auto dots = text.find("..");
    const auto read = [](std::string_view number, std::uint64_t& into) {
        const auto got = std::from_chars(number.data(), number.data() + number.size(), into);
        return got.ec == std::errc{} && got.ptr == number.data() + number.size();
    };
    if (text.empty()) {
        return any();
    }
    if (!read(text.substr(0, dots), ends[0]) ||
        (dots != text.npos && !read(text.substr(dots + 2), ends[1])) ||
        (dots != text.npos && ends[0] > ends[1])) {
        throw std::invalid_argument{"ROPEWAY_SEED is neither 17 nor 1..1000: " + std::string{text}};
    }
    return dots == text.npos ? ends[0]
                             : std::uniform_int_distribution<std::uint64_t>{ends[0], ends[1]}(any);
}

// Every row of the server with how often it is there.
std::map<std::uint64_t, std::uint64_t> found_at(const postgres_server& server) {
    std::map<std::uint64_t, std::uint64_t> found;
    for (const auto& row : server.exec("select n, count(*) from marks group by n")) {
        found[std::stoull(row[0])] = std::stoull(row[1]);
    }
    return found;
}

}  // namespace

TEST_CASE("the seed of the random kills is drawn from a range, and a number is that number") {
    CHECK(a_seed("17") == 17);
    CHECK(a_seed("5..5") == 5);
    std::set<std::uint64_t> drawn;
    for (int i = 0; i < 100; ++i) {
        drawn.insert(a_seed("1..1000"));
    }
    CHECK(drawn.size() > 10);
    CHECK(*drawn.begin() >= 1);
    CHECK(*drawn.rbegin() <= 1000);
    CHECK(a_seed(nullptr) != a_seed(nullptr));
    for (const char* wrong : {"x", "1..", "..5", "5..1", "7x"}) {
        CHECK_THROWS_AS(a_seed(wrong), std::invalid_argument);
    }
}

TEST_CASE(
    "random kills: every acknowledged row is there once, and every other one is accounted for") {
    postgres_server& server = shared_server();
    make_tables(server);
    fault_proxy proxy{server.port()};
    const std::uint64_t seed = a_seed(std::getenv("ROPEWAY_SEED"));
    INFO("ROPEWAY_SEED=" << seed);
    rig ride{{.url = server.url_tcp(proxy.port()), .min_size = 2, .max_size = 4}};
    ride.start();
    std::vector<journal> journals(writers);
    std::atomic<bool> ended{false};
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < writers; ++i) {
        threads.emplace_back([&, i] {
            // Relaxed: a flag that publishes nothing else.
            for (std::uint64_t n = i; !ended.load(std::memory_order_relaxed); n += writers) {
                (i % 2 == 0 ? write_plainly : write_under_a_key)(ride.pool(), n, journals[i]);
            }
        });
    }
    std::size_t blows = 0;
    std::string failure;
    try {
        blows = strike(server, proxy, seed);
    } catch (const std::exception& error) {
        failure = error.what();
    }
    ended.store(true, std::memory_order_relaxed);
    for (std::thread& one : threads) {
        one.join();
    }
    CHECK(failure.empty());
    CHECK(blows >= 20);

    CHECK(answers(ride.pool(), 5s));
    CHECK(ride.wait_calm(2));
    const auto found = found_at(server);
    std::uint64_t acknowledged = 0;
    std::uint64_t missing = 0;
    std::uint64_t unknown = 0;
    std::uint64_t unknown_found = 0;
    std::map<resource_error_kind, std::uint64_t> refused;
    for (std::size_t i = 0; i < writers; ++i) {
        acknowledged += journals[i].acknowledged.size();
        unknown += journals[i].unknown.size();
        for (const auto number : journals[i].acknowledged) {
            missing += found.contains(number) ? 0U : 1U;
        }
        for (const auto number : journals[i].unknown) {
            unknown_found += found.contains(number) ? 1U : 0U;
        }
        for (const auto& [kind, times] : journals[i].refused) {
            refused[kind] += times;
        }
    }
    std::uint64_t doubled = 0;
    for (const auto& [number, times] : found) {
        doubled += times - 1;
    }
    say("random kills: %zu blows, %lu rows acknowledged, %lu unknown of which %lu found\n", blows,
        acknowledged, unknown, unknown_found);
    CHECK(missing == 0);
    CHECK(doubled == 0);
    CHECK(found.size() == acknowledged + unknown_found);
    CHECK(acknowledged >= 100);
    // Who has a key is never left in doubt.
    CHECK(journals[1].unknown.empty());
    CHECK(journals[3].unknown.empty());
    for (const auto& [kind, times] : refused) {
        INFO(to_string(kind) << ": " << times);
        CHECK((kind == resource_error_kind::broken || kind == resource_error_kind::recovering));
    }
    ride.end_without_leak(server);
}
