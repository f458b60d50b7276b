// SPDX-License-Identifier: Apache-2.0
#include "fault_proxy.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace ropeway_test {
namespace {

using steady = std::chrono::steady_clock;

// What one direction holds at most before it reads no more, as a network's buffers do.
constexpr std::size_t most_held = 256 * 1024;
// The step in which a throttled direction passes its bytes on.
constexpr std::chrono::milliseconds throttle_step{5};

struct chunk {
    steady::time_point due{};
    std::vector<char> bytes{};
    std::size_t sent = 0;
};

[[noreturn]] void fail(const char* what) {
    throw std::system_error{errno, std::generic_category(), what};
}

sockaddr_in loopback(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

void at_once(int fd) {
    const int yes = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

void reset_and_close(int fd) {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(fd);
}

int connect_to(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        ::close(fd);
        return -1;
    }
    // Only the connecting waits, and on loopback it does not.
    ::fcntl(fd, F_SETFL, O_NONBLOCK);
    at_once(fd);
    return fd;
}

}  // namespace

struct fault_proxy::flow {
    flow_direction direction{};
    flow_rule rule{};
    int from = -1;
    int to = -1;
    std::deque<chunk> held{};
    std::size_t held_bytes = 0;
    std::uint64_t counted = 0;  ///< bytes since the rule was set
    steady::time_point next{};  ///< when a throttled flow may pass more
    bool ended = false;         ///< the sender has said that no more comes
    bool told = false;          ///< and the receiver has been told

    [[nodiscard]] bool reads() const {
        return !ended && !rule.black_hole && held_bytes < most_held;
    }
    // When it has something to pass on; none: nothing, or not by the clock.
    [[nodiscard]] std::optional<steady::time_point> due() const {
        if (rule.black_hole || held.empty()) {
            return {};
        }
        return std::max(held.front().due, next);
    }
};

struct fault_proxy::link {
    flow up{.direction = flow_direction::to_server};
    flow down{.direction = flow_direction::to_client};
    std::size_t polled = 0;  ///< its place in this turn's list
    bool open = true;
};

struct fault_proxy::turn {
    std::vector<pollfd> fds{};
    steady::time_point now{};
    steady::time_point next{};
};

fault_proxy::fault_proxy(std::uint16_t target_port) : target_(target_port) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    if (listener_ < 0 ||
        ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_, 128) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        fail("fault proxy: listen");
    }
    port_ = ntohs(address.sin_port);
    wake_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_ < 0) {
        fail("fault proxy: eventfd");
    }
    thread_ = std::thread{[this] { run(); }};
}

fault_proxy::~fault_proxy() {
    {
        const std::lock_guard held{guard_};
        ended_ = true;
        wake();
    }
    thread_.join();
    for (link& one : links_) {
        close(one, cut_kind::fin);
    }
    ::close(listener_);
    ::close(wake_);
}

void fault_proxy::wake() noexcept { (void)::eventfd_write(wake_, 1); }

void fault_proxy::lead_to(std::uint16_t target_port) {
    const std::lock_guard held{guard_};
    target_ = target_port;
}

void fault_proxy::set(flow_direction direction, const flow_rule& rule, flow_scope scope) {
    const std::lock_guard held{guard_};
    if (scope != flow_scope::open_ones) {
        rules_[static_cast<std::size_t>(direction)] = rule;
    }
    if (scope != flow_scope::new_ones) {
        for (link& one : links_) {
            flow& changed = direction == flow_direction::to_server ? one.up : one.down;
            changed.rule = rule;
            changed.counted = 0;
            changed.next = {};
        }
    }
    wake();
}

void fault_proxy::set(const flow_rule& rule, flow_scope scope) {
    set(flow_direction::to_server, rule, scope);
    set(flow_direction::to_client, rule, scope);
}

void fault_proxy::cut(cut_kind how) {
    const std::lock_guard held{guard_};
    for (link& one : links_) {
        close(one, how);
    }
    wake();
}

void fault_proxy::refuse(bool yes) {
    const std::lock_guard held{guard_};
    refuse_ = yes;
}

std::uint64_t fault_proxy::accepted() const {
    const std::lock_guard held{guard_};
    return accepted_;
}

std::size_t fault_proxy::open() const {
    const std::lock_guard held{guard_};
    return static_cast<std::size_t>(
        std::count_if(links_.begin(), links_.end(), [](const link& one) { return one.open; }));
}

std::uint64_t fault_proxy::passed(flow_direction direction) const {
    const std::lock_guard held{guard_};
    return passed_[static_cast<std::size_t>(direction)];
}

std::uint64_t fault_proxy::arrived(flow_direction direction) const {
    const std::lock_guard held{guard_};
    return arrived_[static_cast<std::size_t>(direction)];
}

void fault_proxy::run() {
    turn now;
    for (;;) {
        now.next = steady::now() + std::chrono::hours{1};
        {
            const std::lock_guard held{guard_};
            if (ended_) {
                return;
            }
            std::erase_if(links_, [](const link& one) { return !one.open; });
            now.fds.assign({{.fd = listener_, .events = POLLIN, .revents = 0},
                            {.fd = wake_, .events = POLLIN, .revents = 0}});
            for (link& one : links_) {
                one.polled = now.fds.size();
                for (const flow* in : {&one.up, &one.down}) {
                    now.fds.push_back(
                        {.fd = in->reads() ? in->from : -1, .events = POLLIN, .revents = 0});
                    if (const auto due = in->due()) {
                        now.next = std::min(now.next, *due);
                    }
                }
            }
        }
        const auto wait = std::max(steady::duration{}, now.next - steady::now());
        const auto nanoseconds = std::chrono::nanoseconds{wait}.count();
        const timespec time{.tv_sec = nanoseconds / 1'000'000'000,
                            .tv_nsec = nanoseconds % 1'000'000'000};
        ::ppoll(now.fds.data(), now.fds.size(), &time, nullptr);
        const std::lock_guard held{guard_};
        now.now = steady::now();
        std::uint64_t times = 0;
        (void)::eventfd_read(wake_, &times);
        for (link& one : links_) {
            serve(one, now);
        }
        if (now.fds[0].revents != 0) {
            accept_one();
        }
    }
}

void fault_proxy::accept_one() {
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (client < 0) {
        return;
    }
    ++accepted_;
    const int server = refuse_ ? -1 : connect_to(target_);
    if (server < 0) {
        reset_and_close(client);
        return;
    }
    at_once(client);
    link& made = links_.emplace_back();
    made.up.from = made.down.to = client;
    made.up.to = made.down.from = server;
    made.up.rule = rules_[static_cast<std::size_t>(flow_direction::to_server)];
    made.down.rule = rules_[static_cast<std::size_t>(flow_direction::to_client)];
    // Polled from the next turn on.
    made.polled = 0;
}

void fault_proxy::serve(link& one, turn& now) {
    for (std::size_t i = 0; i < 2 && one.open; ++i) {
        flow& in = i == 0 ? one.up : one.down;
        if (one.polled != 0 && in.reads() && now.fds[one.polled + i].revents != 0) {
            read_some(one, in);
        }
        if (one.open) {
            write_some(one, in, now);
        }
    }
    if (one.open && one.up.told && one.down.told) {
        close(one, cut_kind::fin);
    }
}

void fault_proxy::read_some(link& one, flow& in) {
    std::array<char, 16 * 1024> buffer;
    const ssize_t got = ::read(in.from, buffer.data(), buffer.size());
    if (got < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            close(one, cut_kind::rst);
        }
        return;
    }
    if (got == 0) {
        in.ended = true;
        return;
    }
    const auto size = static_cast<std::size_t>(got);
    arrived_[static_cast<std::size_t>(in.direction)] += size;
    in.held.push_back(
        {.due = steady::now() + in.rule.delay, .bytes = {buffer.data(), buffer.data() + size}});
    in.held_bytes += size;
}

void fault_proxy::write_some(link& one, flow& out, turn& now) {
    while (const auto due = out.due()) {
        if (*due > now.now) {
            return;
        }
        chunk& first = out.held.front();
        std::size_t size = first.bytes.size() - first.sent;
        if (out.rule.cut_after) {
            size = std::min(size, *out.rule.cut_after - out.counted);
            if (size == 0) {
                close(one, out.rule.cut);
                return;
            }
        }
        if (out.rule.bytes_per_second != 0) {
            const auto step = out.rule.bytes_per_second *
                              static_cast<std::uint64_t>(throttle_step.count()) / 1000;
            size = std::min<std::size_t>(size, std::max<std::uint64_t>(1, step));
            out.next = now.now + throttle_step;
        }
        const ssize_t done = ::send(out.to, first.bytes.data() + first.sent, size, MSG_NOSIGNAL);
        if (done < 0 && errno != EAGAIN && errno != EINTR) {
            close(one, cut_kind::rst);
            return;
        }
        if (done <= 0) {
            // The receiver's buffer is full: looked at again soon, with no poll of its own.
            out.next = now.now + std::chrono::milliseconds{1};
            return;
        }
        first.sent += static_cast<std::size_t>(done);
        out.held_bytes -= static_cast<std::size_t>(done);
        out.counted += static_cast<std::uint64_t>(done);
        passed_[static_cast<std::size_t>(out.direction)] += static_cast<std::uint64_t>(done);
        if (first.sent == first.bytes.size()) {
            out.held.pop_front();
        }
    }
    if (out.ended && !out.told && !out.rule.black_hole) {
        ::shutdown(out.to, SHUT_WR);
        out.told = true;
    }
}

void fault_proxy::close(link& one, cut_kind how) {
    if (!one.open) {
        return;
    }
    one.open = false;
    // The server is told in the plain way: it is the client's network that is faulty.
    ::close(one.up.to);
    if (how == cut_kind::rst) {
        reset_and_close(one.up.from);
    } else {
        ::close(one.up.from);
    }
}

}  // namespace ropeway_test
