// SPDX-License-Identifier: Apache-2.0
#include "database_rows.hpp"

#include <array>
#include <stdexcept>

namespace ropeway::bench {
namespace {

struct definition {
    const char* id;
    const char* what;
    const char* metric;
    const char* unit;
    const char* reference;  ///< empty: the value itself is held against the reach
    double reach;
};

constexpr const char* plain_select = "SELECT 1 by PQexec, same socket, p50";
constexpr std::array definitions{
    definition{"dbpool.validate.passive", "a look at an idle connection's socket, unix socket",
               "check(), p50 of 20 each", "us", plain_select, 0.025},
    definition{"dbpool.validate.active", "a bare Sync there and back, unix socket",
               "begin(probe) to done, p50", "us", plain_select, 0.6},
    definition{"dbpool.start_ms", "pool made and started, minimum 2, TCP, SCRAM",
               "construction to start's end", "ms", "PQconnectdb twice, one after the other", 0.75},
    definition{"dbpool.miss_p99_ms", "acquire that must connect, TCP, SCRAM, no minimum, one use",
               "p99 of acquire", "ms", "", 100},
    definition{"dbpool.dead_handed_out",
               "backends of idle connections terminated at random; their end at our socket, then "
               "all of 4 acquired and used",
               "dead connections lent", "", "", 0},
    definition{"dbpool.deadline_overrun_ms",
               "deadline of 20 ms: query and probing acquire, backend stopped; query, acquire and "
               "connect, black hole; less the p99 of a thread that sleeps to deadlines meanwhile",
               "p99 beyond the deadline", "ms", "", 5},
    definition{"dbpool.recovery_ms", "server stopped and started, a caller waits",
               "server accepts to acquire's end", "ms", "", 250},
    definition{"dbload.50.p95_ms",
               "50 users: acquire, one indexed query, return, think 20 ms; pool of 20",
               "p95 of acquire, query and return", "ms", "", 200},
    definition{"dbload.spike5x.untyped_errors",
               "250 users, a query of 5 ms, think 20 ms; pool of 20, 150 may wait, 30 ms at most",
               "errors that are not typed as overload", "", "", 0},
    definition{"dbload.200.over_limit",
               "200 users, a query of 5 ms, maximum 20, connections replaced after 50 uses; "
               "sessions that the server counts and connections that the driver has open",
               "most at once beyond 20", "", "", 0},
    definition{"dbload.availability",
               "50 users, a query each 20 ms each as they fall due, 1 s for each; server stopped "
               "and started",
               "requests served", "", "", 0.995},
};

row made(const definition& from) {
    const std::string id = from.id;
    const bool more_is_better = id == "dbload.availability";
    return {.id = id,
            .suite = id.substr(0, id.find('.')),
            .what = from.what,
            .metric = from.metric,
            .unit = from.unit,
            .reference = from.reference,
            .direction = more_is_better ? better::higher : better::lower,
            .reach = from.reach,
            .absolute = *from.reference == '\0'};
}

}  // namespace

row database_row(std::string_view id) {
    for (const definition& one : definitions) {
        if (id == one.id) {
            return made(one);
        }
    }
    throw std::out_of_range("no row " + std::string{id});
}

std::vector<row> unmeasured(std::string_view suite, const std::string& why) {
    std::vector<row> rows;
    for (const definition& one : definitions) {
        row now = made(one);
        if (now.suite == suite) {
            now.skipped = why;
            rows.push_back(std::move(now));
        }
    }
    return rows;
}

}  // namespace ropeway::bench
