// SPDX-License-Identifier: Apache-2.0
//
// Users of a database through one pool: threads that acquire a connection, run a query, return it
// and think. Fifty of them; five times as many at once; two hundred against a maximum; and fifty
// through a restart of the server.
//
//   user 1..N ──acquire──► pool of 20 ══sessions══► PostgreSQL of the bench's own
//      think ◄──return───
//
// Each answer is compared with what was asked; every request is counted as served, refused by a
// typed overload error, or failed.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <ropeway/pool/histogram.hpp>
#include <ropeway/pool/tick_clock.hpp>

#include "database.hpp"
#include "database_rows.hpp"
#include "measured.hpp"
#include "plain_libpq.hpp"
#include "postgres_server.hpp"

namespace ropeway::bench {
namespace {

using ropeway_test::postgres_server;
using clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
constexpr std::uint32_t maximum = 20;
constexpr std::int64_t accounts = 10'000;
constexpr milliseconds query_deadline{5000};

/// What the users do.
struct load {
    unsigned users = 50;
    milliseconds lasts{1000};
    milliseconds think{20};       ///< between a return and the next acquire, half to one and a half
    milliseconds period{0};       ///< not 0: instead of thinking, a request falls due each period
    milliseconds patience{1000};  ///< of acquire
    bool slow = false;            ///< a query of 5 ms instead of one row by its key
};

/// What one user, or all, came to.
struct outcome {
    std::uint64_t served = 0;
    std::uint64_t refused = 0;  ///< overload, and the error says so
    std::uint64_t failed = 0;   ///< anything else
    std::uint64_t wrong = 0;    ///< answers that were not to the question
    std::string first_failure{};
    histogram times{};

    [[nodiscard]] std::uint64_t all() const noexcept { return served + refused + failed; }
    void add(const outcome& other) {
        served += other.served;
        refused += other.refused;
        failed += other.failed;
        wrong += other.wrong;
        if (first_failure.empty()) {
            first_failure = other.first_failure;
        }
        times.merge(other.times);
    }
};

bool is_overload(resource_error_kind kind) noexcept {
    return kind == resource_error_kind::timeout || kind == resource_error_kind::queue_full ||
           kind == resource_error_kind::too_many;
}

void request(database_pool& pool, const load& how, std::minstd_rand& random, clock::time_point due,
             outcome& mine) {
    acquired<database_connection> held = pool.acquire(how.patience);
    if (!held) {
        if (is_overload(held.error().kind)) {
            ++mine.refused;
            return;
        }
        ++mine.failed;
        mine.first_failure = held.error().text();
        return;
    }
    resource_error failed;
    if (how.slow) {
        failed = run_on(*held, "SELECT pg_sleep(0.005)", query_deadline);
    } else {
        const auto id = static_cast<std::int64_t>(random() % accounts) + 1;
        std::int64_t balance = 0;
        failed = read_balance(*held, id, balance, query_deadline);
        mine.wrong += !failed && balance != balance_of(id) ? 1U : 0U;
    }
    held.take().reset();
    if (failed) {
        ++mine.failed;
        mine.first_failure = failed.text;
        return;
    }
    ++mine.served;
    mine.times.record(static_cast<std::uint64_t>((clock::now() - due).count()));
}

outcome be_user(database_pool& pool, const load& how, unsigned number, clock::time_point begin,
                clock::time_point end) {
    outcome mine;
    std::minstd_rand random{number + 1};
    const auto share = [&random](milliseconds of) {
        return of * static_cast<int>(random() % 1000) / 1000;
    };
    // Spread over the first interval: users do not come in step.
    clock::time_point due = begin + share(std::max(how.think, how.period));
    while (due < end) {
        std::this_thread::sleep_until(due);
        request(pool, how, random, due, mine);
        due = how.period.count() != 0 ? due + how.period
                                      : clock::now() + how.think / 2 + share(how.think);
    }
    return mine;
}

/// Runs all users to their end; `meanwhile(end)` runs beside them.
template <class Meanwhile>
outcome run_users(database_pool& pool, const load& how, const Meanwhile& meanwhile) {
    std::vector<outcome> each(how.users);
    const clock::time_point begin = clock::now() + milliseconds{50};
    {
        std::vector<std::jthread> users;
        for (unsigned u = 0; u < how.users; ++u) {
            users.emplace_back(
                [&, u] { each[u] = be_user(pool, how, u, begin, begin + how.lasts); });
        }
        meanwhile(begin + how.lasts);
    }
    outcome all;
    for (const outcome& one : each) {
        all.add(one);
    }
    return all;
}

std::unique_ptr<database_pool> started_pool(const std::string& url, resource_pool_params params) {
    auto pool = database_pool_of(url, std::move(params), true);
    if (const auto failed = pool->start()) {
        throw std::runtime_error(failed->text());
    }
    return pool;
}

/// What goes into every row: answers that were wrong, and counts that differ.
void check(const outcome& all, const database_pool& pool, std::vector<std::string>& faults) {
    constexpr milliseconds patience{30'000};
    expect(all.wrong, 0, "answers to another question", faults);
    resource_snapshot now = pool.snapshot();
    expect(now.acquired, now.released, "leases returned", faults);
    // A returned connection is active until the pool's thread has made it ready again.
    for (const clock::time_point end = clock::now() + patience;
         now.active != 0 && clock::now() < end; now = pool.snapshot()) {
        std::this_thread::sleep_for(milliseconds{1});
    }
    expect(now.active, 0, "connections returned and not ready again in 30 s", faults);
    if (all.served == 0) {
        faults.emplace_back("not one request was served");
    }
}

std::string counted(const outcome& all) {
    return "; here " + std::to_string(all.served) + " served, " + std::to_string(all.refused) +
           " refused, " + std::to_string(all.failed) + " failed";
}

constexpr auto nothing = [](clock::time_point) {};

// --- rows ----------------------------------------------------------------------------------------

row fifty(const plan& how, const postgres_server& server) {
    row made = database_row("dbload.50.p95_ms");
    const load asked{.lasts = milliseconds{4000} / std::min(how.divisor, 3U)};
    measure(made, {.rounds = std::min(how.rounds, 4 - std::min(how.divisor, 3U))}, [&] {
        const auto pool =
            started_pool(server.url_tcp(), {.name = "fifty", .min_size = 5, .max_size = maximum});
        const outcome all = run_users(*pool, asked, nothing);
        measured out{static_cast<double>(all.times.percentile(0.95)) / 1e6, {}};
        check(all, *pool, out.faults);
        expect(all.refused + all.failed, 0, "requests not served " + all.first_failure, out.faults);
        made.times.merge(all.times);
        return out;
    });
    return made;
}

row spike(const plan& how, const postgres_server& server) {
    row made = database_row("dbload.spike5x.untyped_errors");
    const load asked{.users = 250,
                     .lasts = milliseconds{10'000} / std::min(how.divisor, 5U),
                     .patience = milliseconds{30},
                     .slow = true};
    measure(made, {.rounds = 1}, [&] {
        const auto pool =
            started_pool(server.url_tcp(),
                         {.name = "spike", .min_size = 5, .max_size = maximum, .max_waiters = 150});
        const outcome all = run_users(*pool, asked, nothing);
        measured out{static_cast<double>(all.failed), {}};
        check(all, *pool, out.faults);
        if (all.refused == 0) {
            out.faults.emplace_back("nothing was refused: this was no overload");
        }
        made.what += counted(all) + (all.failed != 0 ? "; first: " + all.first_failure : "");
        made.times = all.times;
        return out;
    });
    return made;
}

row two_hundred(const plan& how, const postgres_server& server) {
    row made = database_row("dbload.200.over_limit");
    const load asked{.users = 200,
                     .lasts = milliseconds{8000} / std::min(how.divisor, 4U),
                     .patience = milliseconds{5000},
                     .slow = true};
    measure(made, {.rounds = 1}, [&] {
        const auto pool =
            started_pool(server.url_unix(),
                         {.name = "limit", .min_size = 5, .max_size = maximum, .max_uses = 50});
        plain_connection beside{server.url_unix()};
        std::int64_t sessions = 0;
        std::uint32_t open = 0;
        const outcome all = run_users(*pool, asked, [&](clock::time_point end) {
            while (clock::now() < end) {
                const resource_snapshot now = pool->snapshot();
                open = std::max(open, now.total + now.opening + now.closing);
                sessions = std::max(
                    sessions, beside.number("SELECT count(*) FROM pg_stat_activity WHERE usename = "
                                            "current_user AND pid <> pg_backend_pid()"));
                std::this_thread::sleep_for(milliseconds{2});
            }
        });
        const std::int64_t most = std::max(sessions, std::int64_t{open});
        measured out{static_cast<double>(std::max(most - maximum, std::int64_t{0})), {}};
        check(all, *pool, out.faults);
        expect(all.failed, 0, "requests that failed " + all.first_failure, out.faults);
        if (sessions < maximum || pool->snapshot().opened <= maximum) {
            out.faults.push_back("the maximum was not put to the test: " +
                                 std::to_string(sessions) + " sessions at most");
        }
        made.what += counted(all) + ", " + std::to_string(sessions) + " sessions at most, " +
                     std::to_string(pool->snapshot().opened) + " opened";
        made.times = all.times;
        return out;
    });
    return made;
}

/// The share of a run during which the server is down.
constexpr double down_share = 0.003;

row availability(const plan& how, postgres_server& server) {
    row made = database_row("dbload.availability");
    measure(made, {.rounds = 1}, [&] {
        const auto pool =
            started_pool(server.url_tcp(), {.name = "outage", .min_size = 5, .max_size = maximum});
        const bool quick = how.divisor > 1;
        const load asked{.lasts = milliseconds{quick ? 5000 : 90'000}, .period = milliseconds{20}};
        double down = 0;
        const outcome all = run_users(*pool, asked, [&](clock::time_point end) {
            // At each tenth of the run, as long as the share is not used up; one restart is more
            // than the share of a quick run.
            const double wanted = std::chrono::duration<double>(asked.lasts).count() * down_share;
            for (int tenth = 1; tenth < 10 && down < wanted; ++tenth) {
                std::this_thread::sleep_until(end - asked.lasts * (10 - tenth) / 10);
                const clock::time_point gone = clock::now();
                server.stop(ropeway_test::stop_mode::fast);
                server.start();
                down += std::chrono::duration<double>(clock::now() - gone).count();
            }
        });
        measured out{static_cast<double>(all.served) / static_cast<double>(all.all()), {}};
        check(all, *pool, out.faults);
        made.what += counted(all) + ", down for " + std::to_string(down) + " s of " +
                     std::to_string(asked.lasts.count() / 1000);
        made.times = all.times;
        return out;
    });
    return made;
}

}  // namespace

std::vector<row> run_dbload(const plan& how) {
    std::string why = postgres_server::why_unavailable();
    if (why.empty() && only_our_code) {
        why = "under a sanitizer times mean nothing, and the fault suite runs the same";
    }
    if (!why.empty()) {
        return unmeasured("dbload", why);
    }
    postgres_server server{{.max_connections = 60, .settings = {{"fsync", "off"}}}};
    make_accounts(server, accounts);
    std::vector<row> rows;
    rows.push_back(fifty(how, server));
    rows.push_back(spike(how, server));
    rows.push_back(two_hundred(how, server));
    rows.push_back(availability(how, server));
    return rows;
}

}  // namespace ropeway::bench
