// SPDX-License-Identifier: Apache-2.0
//
// What a PostgreSQL connection is made from: component ropeway::postgres. Plain values, checked
// once; `settings` is the holder that all connections of a pool read, so that a password can be
// replaced while the pool runs.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ropeway::postgres {

/// A statement that each connection prepares when it opens (and again after a full reset).
struct prepared_statement {
    std::string name{};
    std::string sql{};
};

/// What happens to a session's state (SET, LISTEN, temporary tables, advisory locks, cursors, own
/// prepared statements) when its lease is returned. An open transaction is rolled back, and a COPY
/// or pipeline is ended, in each case.
enum class reset_policy : std::uint8_t {
    /// DISCARD ALL and the set-up again, in one round trip on the I/O thread, if a statement that
    /// went through this API can have left something, or native_handle() was used (default). What
    /// a server-side function does inside is not seen: use `always` with such functions.
    if_dirty,
    always,  ///< after each lease
    never,   ///< the program leaves nothing behind, or wants it kept
};

/// A message of the server that is not an error of a command. Views, valid during the call.
struct notice {
    std::string_view severity{};  ///< NOTICE, WARNING, FATAL..., never translated
    std::string_view code{};      ///< SQLSTATE
    std::string_view text{};
};

/// A NOTIFY that this session listens to. Views, valid during the call.
struct notification {
    std::string_view channel{};
    std::string_view payload{};
    int backend_pid = 0;
};

struct postgres_params {
    /// postgres://user:password@host:port/database?option=value, or "host=... user=...". What is
    /// left out comes from libpq's environment variables and defaults; PGHOST, PGHOSTADDR and
    /// PGPORT are read when the settings are made or replaced.
    /// Of several hosts, or addresses of one, an open tries each that refuses in turn. One that
    /// does not answer holds it until the pool's deadline; the next open then begins with the next
    /// one. connect_timeout has no effect.
    std::string url{};
    /// Any libpq keyword, passed on one to one, above the url: sslmode, sslrootcert, sslcert,
    /// sslkey, sslpassword, channel_binding, hostaddr, target_session_attrs, options...
    std::vector<std::pair<std::string, std::string>> options{};
    /// Shown in pg_stat_activity, unless url or options name one.
    std::string application_name = "ropeway";
    /// Run in this order when a connection opens: single statements, one round trip for all.
    std::vector<std::string> session_sql{};
    /// Prepared in the same round trip. Names are unique and not empty.
    std::vector<prepared_statement> prepared{};
    /// Of a command without a deadline of its own. 1 ms..1 h.
    std::chrono::milliseconds command_timeout{30'000};
    /// How long a cancel request may take to reach the server, off the caller's thread. 1 ms..1
    /// min.
    std::chrono::milliseconds cancel_timeout{2'000};
    /// TCP: silence after which the kernel asks whether the other end lives. 1 s..1 day; and how
    /// often then; both unless url or options say otherwise.
    std::chrono::seconds keepalive_idle{15};
    std::chrono::seconds keepalive_interval{5};
    /// Unanswered keepalives that end the connection. 1..100.
    std::uint32_t keepalive_count = 3;
    /// TCP: how long sent bytes may stay unacknowledged before the kernel ends the connection.
    /// 1 ms..1 h.
    std::chrono::milliseconds tcp_user_timeout{30'000};
    reset_policy reset = reset_policy::if_dirty;
    /// Resolve host names when the settings are made or replaced, on that thread, so that no open
    /// waits for a name server on the I/O thread (default). Otherwise, and for a name that could
    /// not be resolved then, libpq resolves it at the beginning of each open, which may block for
    /// seconds. Numeric addresses and socket folders never block.
    bool resolve_names = true;
    /// Told each notice, on the thread that reads it; null: dropped. Never written to stderr. Must
    /// not block, throw, or use the connection.
    std::function<void(const notice&)> on_notice{};
    /// Told each notification, under the same rules.
    std::function<void(const notification&)> on_notification{};
};

/// @return params, if each field is in range and libpq understands url and options.
/// @throws std::invalid_argument that names the field, the value (never a password) and the remedy
[[nodiscard]] postgres_params checked(postgres_params params);

/// `text` with each password in it replaced by ***: of URLs, of password=... pairs, of SQL's
/// PASSWORD '...'. For logs.
[[nodiscard]] std::string masked(std::string_view text);

namespace detail {
struct connect_settings;
}  // namespace detail

/// Ownership: shared by its connections and whoever replaces a password. Thread safety: all
/// functions from any thread; changes happen one after the other, so one waits for the name servers
/// that another asks. Allocation: when made or replaced.
class settings {
  public:
    /// @throws std::invalid_argument, see checked()
    explicit settings(postgres_params params);
    settings(const settings&) = delete;
    settings& operator=(const settings&) = delete;
    ~settings();

    /// For connections opened from now on; follow with resource_pool::soft_evict() to replace those
    /// that are open. @throws std::invalid_argument; then nothing has changed
    void replace(postgres_params params);
    /// replace() with another password alone.
    void set_password(std::string password);
    /// Resolves host names again, on this thread, after a server has moved.
    void resolve_again();
    /// "user@host:port/database", without a password, for messages.
    [[nodiscard]] std::string target() const;

    /// For connections.
    [[nodiscard]] std::shared_ptr<const detail::connect_settings> current() const;

  private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

class connection;

/// What resource_pool<postgres::connection> makes its resources with.
using connection_factory = std::function<std::unique_ptr<connection>()>;
[[nodiscard]] connection_factory make_connections(std::shared_ptr<settings> shared);
/// @throws std::invalid_argument, see checked()
[[nodiscard]] connection_factory make_connections(postgres_params params);

}  // namespace ropeway::postgres
