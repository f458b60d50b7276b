// SPDX-License-Identifier: Apache-2.0
//
// A PostgreSQL server of the test's own: initdb in a temporary folder as a user who is not root, a
// unix socket there (trust) and loopback TCP on a free port (SCRAM). It ends with its object, and
// with the test, however that ends. Needs no Catch2; see postgres_test.hpp for tests.
//
// Ownership: the object owns the processes and the folder. Thread safety: one thread at a time,
// except for what is const; construct and start() on a thread that lives as long as the server.
// Writes nothing to stdout or stderr: the server's log is a file, see log_tail().
#pragma once

#include "child_process.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace ropeway_test {

/// How stop() asks: smart lets sessions end, fast ends them, immediate drops everything.
enum class stop_mode : std::uint8_t { smart, fast, immediate };

struct postgres_server_params {
    std::uint32_t max_connections = 40;
    /// Further settings of postgresql.conf.
    std::map<std::string, std::string> settings{};
    bool start = true;  ///< false: call start() later
};

class postgres_server {
  public:
    /// Roles: `rider` (password below, owner of the database) for tests, and a superuser for
    /// exec().
    static constexpr const char* user = "rider";
    static constexpr const char* database = "postgres";

    /// Why no server can be made on this machine; empty if one can.
    [[nodiscard]] static std::string why_unavailable();

    /// Makes the folder and, unless told otherwise, starts the server.
    /// @throws std::runtime_error with the server's log
    explicit postgres_server(postgres_server_params params = {});
    /// A standby of `primary`, made by pg_basebackup; started, following.
    struct follows {
        postgres_server& primary;
    };
    explicit postgres_server(follows of);
    postgres_server(const postgres_server&) = delete;
    postgres_server& operator=(const postgres_server&) = delete;
    ~postgres_server();

    /// postgresql://rider@/postgres?host=FOLDER&port=N, without a password (trust).
    [[nodiscard]] std::string url_unix() const;
    /// postgresql://rider:PASSWORD@127.0.0.1:N/postgres; `port` 0: the server's own, else e.g. a
    /// proxy's.
    [[nodiscard]] std::string url_tcp(std::uint16_t port = 0) const;
    [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
    [[nodiscard]] const std::string& password() const noexcept { return password_; }
    [[nodiscard]] const std::string& folder() const noexcept { return folder_; }
    [[nodiscard]] std::string log_tail(std::size_t bytes = 4000) const;

    /// Starts it and waits until it accepts connections.
    void start();
    /// Starts it and returns at once; see wait_ready().
    void start_without_waiting();
    /// @throws std::runtime_error with its log, if it ends or is not ready in 20 s
    void wait_ready();
    /// Ends it and waits until it has; what is stopped (SIGSTOP) is let go on first.
    void stop(stop_mode mode = stop_mode::fast);
    /// SIGKILL to the postmaster; waits until the sessions' processes have noticed and ended.
    void kill9();
    [[nodiscard]] bool running() const noexcept { return postmaster_ > 0; }
    /// SIGSTOP and SIGCONT of the postmaster: running sessions go on, new ones find no answer.
    void pause();
    void resume();
    [[nodiscard]] pid_t pid() const noexcept { return postmaster_; }

    /// Processes that serve `rider`, by their titles in /proc: no connection is needed.
    [[nodiscard]] std::vector<pid_t> backends() const;
    /// Waits until exactly `count` such processes are there. @return false after `limit`.
    [[nodiscard]] bool wait_backends(std::size_t count,
                                     std::chrono::milliseconds limit = patience) const;
    /// Waits until one of them runs a command of that tag (SELECT, INSERT ...), by its title: it
    /// has read the command whole, so a cancel request reaches it. @return false after `limit`.
    [[nodiscard]] bool wait_runs(pid_t backend, std::string_view tag,
                                 std::chrono::milliseconds limit = patience) const;
    /// How many there are by pg_stat_activity.
    [[nodiscard]] std::size_t count_sessions();
    /// Sends a signal to one process of the server.
    void signal_backend(pid_t backend, int signal) const;
    /// pg_terminate_backend. @return false if there was no such session
    bool terminate(pid_t backend);

    using rows = std::vector<std::vector<std::string>>;
    /// Runs SQL as the superuser, on a connection of its own.
    /// @throws std::runtime_error with the server's message
    rows exec(const std::string& sql) const;
    /// The first field of the first row.
    [[nodiscard]] std::string value(const std::string& sql) const;

    /// Sets a setting of postgresql.conf; in force after reload(), or start().
    void set(const std::string& name, const std::string& value);
    /// SIGHUP; returns when it is in force for new sessions.
    void reload();
    /// Gives `rider` another password; url_tcp() has it from now on.
    void change_password(std::string_view password);
    /// Makes a standby the primary. Returns when it accepts writes.
    void promote();

  private:
    void make_folder();
    void write_settings() const;
    [[nodiscard]] std::string data() const { return folder_ + "/data"; }
    [[nodiscard]] std::string log() const { return folder_ + "/server.log"; }
    [[nodiscard]] bool is_ready() const;
    void let_go() const;
    void collect() noexcept;

    std::string folder_{};
    std::string password_;
    std::map<std::string, std::string> settings_{};
    std::uint16_t port_ = 0;
    pid_t postmaster_ = -1;
    pid_t watchdog_ = -1;
    int watchdog_pipe_ = -1;
};

}  // namespace ropeway_test
