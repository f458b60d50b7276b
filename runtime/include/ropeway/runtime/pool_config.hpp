// SPDX-License-Identifier: Apache-2.0
//
// One connection pool's settings, read where operators write them: a YAML file, then environment
// variables (POOL_*, DATABASE_URL), then what the program names itself; the later wins. A setting
// is called the same everywhere: `max_size` in YAML is POOL_MAX_SIZE in the environment.
//
//   key                        default   range                    key                  default
//   min_size                   2         1..100                   name                 database
//   max_size                   10        1..100, >= min_size      database_url sqlite::memory:
//   reserved                   0         0..99, < max_size          (variable DATABASE_URL)
//   max_waiters                1000      1..100000                enable_leak_detection  true
//   timeout                    30 s      > 0 s and < 300 s        sizes: seed_000 (2/10), seed_001
//   connect_timeout            5 s       1..60 s                    (1/10), seed_002 (1/10),
//   command_timeout            30 s      1..300 s                   seed_004 (5/20)
//   max_queries                50000     >= 1000                  health: combined, strict_000,
//   max_idle_time              60 s      >= 10 s                    liveness_002, latency_004
//   max_connection_lifetime    3600 s    >= 60 s                  liveness: pool, fast, seed_002
//   leak_detection_timeout     30 s      >= 0 s (0: off)          reconnect: pool, seed_000, node
//   probe_timeout              0.5 s     0.001..60 s              validation: if_idle, always,
//   reset_timeout              2 s       0.001..60 s                passive_only
//   close_timeout              1 s       0.001..60 s              idle_order: last_used,
//   validate_after             1 s       0..3600 s                  oldest_idle
//   probe_interval             30 s      0 or 0.01..3600 s        startup: fail_fast,
//   maintenance_interval       10 s      0.001..3600 s              start_degraded
//   shutdown_timeout           30 s      0..3600 s
//   startup_attempts           3         1..10
//   retry_attempts             3         1..10
//   server_limit               0         0 (unknown) or 2..100000, > max_size
//
// probe_interval is how long each idle connection goes unprobed. With 0 none is probed for its own
// sake, but one of them for liveness, each 0.5 s (seed_002: 5 s) in which nothing else told of it.
//
// Times are seconds, fractions allowed, down to a millisecond. Within one source `sizes` comes
// before `min_size` and `max_size`. A name that does not exist is refused with the nearest one.
//
// Plain values and functions; any thread. No password is ever in a message.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ropeway/pool/assess.hpp>
#include <ropeway/pool/reconnect_schedule.hpp>
#include <ropeway/pool/resource_pool_params.hpp>
#include <ropeway/runtime/database_url.hpp>

namespace ropeway {

/// What a pool of database connections is made from.
struct pool_config {
    /// Of the pool itself, ready for resource_pool. Hooks, observer and clock are the program's.
    resource_pool_params pool{.name = "database"};
    /// As given, password included: for the adapter alone. Show masked_url(database_url).
    std::string database_url{default_database_url};
    /// What database_url names.
    database_kind database = database_kind::sqlite;
    /// Of a statement without a deadline of its own, for the adapter. 1 s..300 s.
    std::chrono::milliseconds command_timeout{30'000};
    /// For resource_pool::shutdown(). 0..1 h.
    std::chrono::milliseconds shutdown_timeout{30'000};
    /// Of run_repeatable() (database.hpp), for work that may be repeated: retry_attempts tries in
    /// all. The pool's own tries, to connect, are startup_attempts and pool.reconnect.
    reconnect_params retry = reconnect_presets::retry_query();
    /// Connections that the server grants this program; max_size must be below it, so that a person
    /// can still log in. 0: unknown, not checked. 0, 2..100'000.
    std::uint32_t server_limit = 0;
    /// For assess().
    health_policy health = health_presets::combined();
    /// Off: no lease is ever reported as a leak while out; load and checked() then set
    /// pool.leak_timeout to zero.
    bool leak_detection = true;
    /// Where each setting that is no default came from, by key: "POOL_MAX_SIZE", "pool.yaml:3".
    std::map<std::string, std::string> origins{};
};

/// Settings that are refused: every problem at once, each in one sentence that names the setting,
/// its value, the range, what to do, and where it was written. Of what is no setting (the numbers
/// of liveness, reconnect and quarantine), the first.
class pool_config_error : public std::invalid_argument {
  public:
    explicit pool_config_error(std::vector<std::string> problems);
    /// At least one; what() has them in lines.
    [[nodiscard]] const std::vector<std::string>& problems() const noexcept { return problems_; }

  private:
    std::vector<std::string> problems_;
};

/// Names and values; of variables or of settings.
using setting_map = std::map<std::string, std::string>;

/// Where settings are looked for; the later of these win over the earlier.
struct pool_config_sources {
    /// A YAML file whose root, or whose part `section`, maps keys to values; empty: none.
    std::string file{};
    /// "pools.orders": the mapping under these keys; empty: the root.
    std::string section{};
    /// Variables POOL_* and DATABASE_URL count, others are not looked at. See
    /// process_environment().
    setting_map environment{};
    /// By key, as a command line gives them; the last of two wins.
    std::vector<std::pair<std::string, std::string>> settings{};
};

/// @throws pool_config_error; also where the file cannot be read or is no YAML
[[nodiscard]] pool_config load_pool_config(const pool_config_sources& sources);

/// The process's variables POOL_* and DATABASE_URL. No other thread may change the environment
/// meanwhile.
[[nodiscard]] setting_map process_environment();

/// For a config that a program filled or changed itself: the same bounds; `database` is set from
/// database_url. @throws pool_config_error
[[nodiscard]] pool_config checked(pool_config config);

/// One line for a log: "name=database, database_url=postgres://app:***@db/orders, min_size=2
/// (POOL_MIN_SIZE), ...".
[[nodiscard]] std::string to_string(const pool_config& config);

}  // namespace ropeway
