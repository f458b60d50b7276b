// SPDX-License-Identifier: Apache-2.0
//
// Settings and the resolver of names, which here is the test's own: it answers at once or when told
// to, and asks no name server. No server.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <future>
#include <memory>
#include <string>
#include <thread>

#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ropeway/pool/postgres/connection.hpp>
#include <ropeway/pool/postgres/settings.hpp>

#include "connect_settings.hpp"
#include "ropeway_test.hpp"

namespace {

namespace pg = ropeway::postgres;
using namespace std::chrono_literals;

/// What getaddrinfo() below does.
struct fake_resolver {
    std::atomic<bool> hold_next{false};
    std::promise<void> held;   // kept once the held one has begun
    std::promise<void> go_on;  // kept to let it end
};

fake_resolver& resolver() {
    static fake_resolver made;
    return made;
}

}  // namespace

/// Stands before the C library's own. Each name has the address 127.0.0.1.
extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                           addrinfo** list) {
    fake_resolver& own = resolver();
    // Relaxed: the threads that find it set were begun after it was.
    if (name != nullptr && own.hold_next.exchange(false, std::memory_order_relaxed)) {
        own.held.set_value();
        own.go_on.get_future().wait();
    }
    static auto* const real =
        reinterpret_cast<decltype(&getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    return real("127.0.0.1", service, hints, list);
}

namespace {

TEST_CASE("A password that is set while names are resolved stays") {
    pg::settings made({.url = "postgres://rider:old@db.example/orders"});
    resolver().hold_next.store(true, std::memory_order_relaxed);  // Relaxed: see getaddrinfo()
    std::thread resolving([&] { made.resolve_again(); });
    resolver().held.get_future().wait();
    std::promise<void> changed;
    std::thread changing([&] {
        made.set_password("new");
        changed.set_value();
    });
    // It may wait for the names, or be done before them: the password is the same in the end.
    static_cast<void>(changed.get_future().wait_for(200ms));
    resolver().go_on.set_value();
    resolving.join();
    changing.join();
    CHECK(made.current()->value("password") == "new");
    CHECK(made.current()->value("hostaddr") == "127.0.0.1");
}

TEST_CASE("A server that the environment names is resolved ahead and named as one of the url") {
    REQUIRE(::setenv("PGHOST", "db.example", 1) == 0);
    REQUIRE(::setenv("PGPORT", "5433", 1) == 0);
    const pg::settings made({.url = "postgres://rider@/orders"});
    const pg::settings other({.url = "postgres://rider@127.0.0.2:5434/orders"});
    REQUIRE(::unsetenv("PGHOST") == 0);
    REQUIRE(::unsetenv("PGPORT") == 0);
    CHECK(made.target() == "rider@db.example:5433/orders");
    CHECK(made.current()->value("hostaddr") == "127.0.0.1");
    CHECK(other.target() == "rider@127.0.0.2:5434/orders");
    CHECK(other.current()->value("hostaddr").empty());
}

/// Listens on a free port of the loopback and answers nothing.
class silent_listener {
  public:
    silent_listener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
        sockaddr_in name{};
        name.sin_family = AF_INET;
        name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof name;
        auto* raw = reinterpret_cast<sockaddr*>(&name);
        REQUIRE(::bind(fd_, raw, size) == 0);
        REQUIRE(::listen(fd_, 8) == 0);
        REQUIRE(::getsockname(fd_, raw, &size) == 0);
        port_ = std::to_string(ntohs(name.sin_port));
    }
    silent_listener(const silent_listener&) = delete;
    silent_listener& operator=(const silent_listener&) = delete;
    ~silent_listener() { ::close(fd_); }
    [[nodiscard]] const std::string& port() const noexcept { return port_; }
    /// Whether somebody connected since the last call.
    [[nodiscard]] bool was_asked(int patience_ms) const {
        pollfd look{fd_, POLLIN, 0};
        ::poll(&look, 1, patience_ms);
        const int one = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
        return one >= 0 && ::close(one) == 0;
    }

  private:
    int fd_;
    std::string port_{};
};

TEST_CASE("After an open that was given up the next one, of any connection, asks the next host") {
    const silent_listener one;
    const silent_listener two;
    const auto made = std::make_shared<pg::settings>(
        pg::postgres_params{.url = "postgres://rider@127.0.0.1:" + one.port() +
                                   ",127.0.0.1:" + two.port() + "/orders"});
    pg::connection first(made);
    pg::connection second(made);
    first.begin(ropeway::resource_task::open);
    CHECK(one.was_asked(5000));
    first.drop();
    second.begin(ropeway::resource_task::open);
    CHECK(two.was_asked(5000));
    CHECK_FALSE(one.was_asked(0));
    second.drop();
    first.begin(ropeway::resource_task::open);
    CHECK(one.was_asked(5000));
}

}  // namespace
