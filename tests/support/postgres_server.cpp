// SPDX-License-Identifier: Apache-2.0
#include "postgres_server.hpp"

#include "child_process.hpp"
#include "postgres_template.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ropeway_test {
namespace {

using namespace std::chrono_literals;

// Whether a server may listen there now. Ports below the range that the kernel gives to outgoing
// connections: nobody's client takes it while the server is down between two starts.
bool port_is_free(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int yes = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const bool free = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                      ::listen(fd, 1) == 0;
    ::close(fd);
    return free;
}

std::uint16_t find_port() {
    static int next = ::getpid() * 17;
    for (int tries = 0; tries < 1000; ++tries) {
        const auto port = static_cast<std::uint16_t>(20'000 + next++ % 12'000);
        if (port_is_free(port)) {
            return port;
        }
    }
    throw std::runtime_error{"no free port from 20000 to 32000"};
}

using connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using result = std::unique_ptr<PGresult, decltype(&PQclear)>;

connection connect(const std::string& folder, std::uint16_t port) {
    const std::string settings = "host=" + folder + " port=" + std::to_string(port) +
                                 " dbname=postgres application_name=fixture connect_timeout=30" +
                                 " user=" + template_superuser;
    connection made{PQconnectdb(settings.c_str()), PQfinish};
    PQsetNoticeProcessor(
        made.get(), [](void*, const char*) {}, nullptr);
    return made;
}

// What ends a server whose test has died: reads until the test's end of the pipe is closed, then
// ends the processes and removes the folder. After an orderly end it finds nothing to do. No
// command for each process of the machine: a busy one may have hundreds.
constexpr const char* watch = R"(
read line
test -d "$1" || exit 0
main=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if test -n "$main"; then
    for stat in /proc/[0-9]*/stat; do
        read -r line <"$stat" || continue
        parent=${line##*) ? }
        test "${parent%% *}" = "$main" && children="$children ${line%% *}"
    done
    kill -9 $main $children
fi 2>/dev/null
rm -rf "$1"
)";

}  // namespace

std::string postgres_server::why_unavailable() {
    return postgres_program("initdb").empty() || postgres_program("postgres").empty()
               ? "PostgreSQL's server programs are not installed (Debian package postgresql)"
               : "";
}

postgres_server::postgres_server(postgres_server_params params)
    : password_(template_password), settings_(std::move(params.settings)) {
    if (const std::string why = why_unavailable(); !why.empty()) {
        throw std::runtime_error{why};
    }
    settings_.emplace("max_connections", std::to_string(params.max_connections));
    make_folder();
    copy_template(data(), server_user());
    if (params.start) {
        start();
    }
}

postgres_server::postgres_server(follows of)
    : password_(of.primary.password_), settings_(of.primary.settings_) {
    make_folder();
    const postgres_server& primary = of.primary;
    run_child({.command = {postgres_program("pg_basebackup"), "--pgdata=" + data(),
                           "--write-recovery-conf", "--wal-method=stream", "--no-sync",
                           "--checkpoint=fast", "--host=" + primary.folder_,
                           "--port=" + std::to_string(primary.port_),
                           std::string{"--username="} + template_superuser},
               .output = log(),
               .folder = folder_,
               .user = server_user()},
              60s);
    start();
}

postgres_server::~postgres_server() {
    if (postmaster_ > 0) {
        try {
            stop(stop_mode::immediate);
        } catch (const std::exception&) {
            // The watchdog below ends what is left.
        }
    }
    std::error_code gone;
    std::filesystem::remove_all(folder_, gone);
    ::close(watchdog_pipe_);
    ::waitpid(watchdog_, nullptr, 0);
}

void postgres_server::make_folder() {
    folder_ = make_server_folder(server_user());
    int ends[2]{};
    if (::pipe2(ends, O_CLOEXEC) != 0) {
        throw std::runtime_error{"no pipe"};
    }
    watchdog_pipe_ = ends[1];
    watchdog_ =
        start_child({.command = {"/bin/sh", "-c", watch, "watch", folder_}, .input = ends[0]});
    ::close(ends[0]);
    // What the fixture does not choose is as PostgreSQL has it, save what costs a test time.
    const std::pair<const char*, const char*> defaults[] = {
        {"listen_addresses", "127.0.0.1"},  {"fsync", "off"},
        {"full_page_writes", "off"},        {"shared_buffers", "16MB"},
        {"max_wal_senders", "4"},           {"wal_level", "replica"},
        {"log_line_prefix", "%m [%p] "},    {"password_encryption", "scram-sha-256"},
        {"unix_socket_permissions", "0777"}};
    for (const auto& [name, value] : defaults) {
        settings_.emplace(name, value);
    }
    settings_["unix_socket_directories"] = folder_;
    // The test itself may be another user than the server.
    std::filesystem::permissions(
        folder_, std::filesystem::perms::all &
                     ~(std::filesystem::perms::group_write | std::filesystem::perms::others_write));
    port_ = find_port();
}

void postgres_server::write_settings() const {
    std::ofstream out{folder_ + "/ropeway.conf"};
    out << "port = " << port_ << '\n';
    for (const auto& [name, value] : settings_) {
        out << name << " = '" << value << "'\n";
    }
    if (!out.flush()) {
        throw std::runtime_error{"cannot write " + folder_ + "/ropeway.conf"};
    }
}

std::string postgres_server::url_unix() const {
    return std::string{"postgresql://"} + user + "@/" + database + "?host=" + folder_ +
           "&port=" + std::to_string(port_);
}

std::string postgres_server::url_tcp(std::uint16_t port) const {
    return std::string{"postgresql://"} + user + ':' + password_ +
           "@127.0.0.1:" + std::to_string(port == 0 ? port_ : port) + '/' + database;
}

std::string postgres_server::log_tail(std::size_t bytes) const { return tail_of(log(), bytes); }

void postgres_server::start() {
    start_without_waiting();
    wait_ready();
}

void postgres_server::start_without_waiting() {
    if (postmaster_ > 0) {
        throw std::logic_error{"the server runs already"};
    }
    write_settings();
    // The signal comes when the starting thread ends, so only a thread that lasts may ask for it;
    // the watchdog covers every other case.
    const bool lasts = ::gettid() == ::getpid();
    postmaster_ = start_child({.command = {postgres_program("postgres"), "-D", data()},
                               .output = log(),
                               .folder = folder_,
                               .death_signal = lasts ? SIGQUIT : 0,
                               .user = server_user()});
}

bool postgres_server::is_ready() const {
    std::ifstream in{data() + "/postmaster.pid"};
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) {
        lines.push_back(line);
    }
    // A file left by a server that was killed names another process.
    return lines.size() >= 8 && lines[0] == std::to_string(postmaster_) &&
           (lines[7].starts_with("ready") || lines[7].starts_with("standby"));
}

void postgres_server::wait_ready() {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!is_ready()) {
        const bool ended = wait_ended(postmaster_, 1ms);
        if (ended || std::chrono::steady_clock::now() >= until) {
            end_child(postmaster_, SIGKILL);
            postmaster_ = -1;
            throw std::runtime_error{"PostgreSQL did not start: " + log_tail()};
        }
    }
}

void postgres_server::let_go() const {
    for (const pid_t child : children_of(postmaster_)) {
        ::kill(child, SIGCONT);
    }
    ::kill(postmaster_, SIGCONT);
}

void postgres_server::stop(stop_mode mode) {
    if (postmaster_ <= 0) {
        return;
    }
    const int signal = mode == stop_mode::smart  ? SIGTERM
                       : mode == stop_mode::fast ? SIGINT
                                                 : SIGQUIT;
    let_go();
    ::kill(postmaster_, signal);
    if (wait_ended(postmaster_)) {
        collect();
        return;
    }
    kill9();
    throw std::runtime_error{"PostgreSQL did not stop: " + log_tail()};
}

void postgres_server::kill9() {
    const std::vector<pid_t> children = children_of(postmaster_);
    let_go();
    ::kill(postmaster_, SIGKILL);
    const bool all = std::all_of(children.begin(), children.end(),
                                 [](pid_t child) { return wait_ended(child); });
    collect();
    if (!all) {
        throw std::runtime_error{"processes of PostgreSQL outlived its postmaster"};
    }
}

void postgres_server::collect() noexcept {
    ::waitpid(postmaster_, nullptr, 0);
    postmaster_ = -1;
}

void postgres_server::pause() {
    ::kill(postmaster_, SIGSTOP);
    (void)wait_until([this] { return state_of(postmaster_) == 'T'; });
}

void postgres_server::resume() { ::kill(postmaster_, SIGCONT); }

std::vector<pid_t> postgres_server::backends() const {
    const std::string title = std::string{"postgres: "} + user + ' ';
    std::vector<pid_t> found = children_of(postmaster_);
    std::erase_if(found, [&](pid_t child) {
        return !command_of(child).starts_with(title) || state_of(child) == 'Z';
    });
    return found;
}

bool postgres_server::wait_backends(std::size_t count, std::chrono::milliseconds limit) const {
    return wait_until([&] { return backends().size() == count; }, limit);
}

bool postgres_server::wait_runs(pid_t backend, std::string_view tag,
                                std::chrono::milliseconds limit) const {
    const std::string end = ' ' + std::string{tag};
    return wait_until([&] { return command_of(backend).find(end) != std::string::npos; }, limit);
}

std::size_t postgres_server::count_sessions() {
    return std::stoul(value("select count(*) from pg_stat_activity where usename = 'rider'"));
}

void postgres_server::signal_backend(pid_t backend, int signal) const {
    if (::kill(backend, signal) == 0 && signal == SIGSTOP) {
        (void)wait_until([backend] { return state_of(backend) == 'T'; });
    }
}

bool postgres_server::terminate(pid_t backend) {
    return value("select pg_terminate_backend(" + std::to_string(backend) + ")") == "t";
}

postgres_server::rows postgres_server::exec(const std::string& sql) const {
    const connection to = connect(folder_, port_);
    const result got{PQexec(to.get(), sql.c_str()), PQclear};
    const ExecStatusType status = PQresultStatus(got.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        throw std::runtime_error{"fixture: " + sql + ": " + PQerrorMessage(to.get())};
    }
    rows all;
    for (int row = 0; row < PQntuples(got.get()); ++row) {
        std::vector<std::string>& fields = all.emplace_back();
        for (int column = 0; column < PQnfields(got.get()); ++column) {
            fields.emplace_back(PQgetvalue(got.get(), row, column));
        }
    }
    return all;
}

std::string postgres_server::value(const std::string& sql) const { return exec(sql).at(0).at(0); }

void postgres_server::set(const std::string& name, const std::string& value) {
    settings_[name] = value;
    write_settings();
}

void postgres_server::reload() {
    const std::string asked = "select pg_conf_load_time()";
    const std::string before = value(asked);
    ::kill(postmaster_, SIGHUP);
    if (!wait_until([&] { return value(asked) != before; })) {
        throw std::runtime_error{"PostgreSQL did not reload: " + log_tail()};
    }
}

void postgres_server::change_password(std::string_view password) {
    exec("ALTER ROLE rider PASSWORD '" + std::string{password} + "'");
    password_ = password;
}

void postgres_server::promote() {
    if (value("select pg_promote(true, 20)") != "t") {
        throw std::runtime_error{"PostgreSQL was not promoted: " + log_tail()};
    }
}

}  // namespace ropeway_test
