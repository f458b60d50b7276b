// SPDX-License-Identifier: Apache-2.0
//
// Cancel requests that cannot be sent at once: to listeners whose queue is full. No server.
#include "cancel_sender.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host_jitter.hpp"
#include "ropeway_test.hpp"

namespace {

using namespace std::chrono_literals;
using ropeway::postgres::detail::cancel_sender;
using ropeway::postgres::detail::cancel_target;
using steady = std::chrono::steady_clock;

/// While set, no thread begins. Of the test's own thread alone.
bool no_threads = false;

}  // namespace

/// Stands before the C library's own.
extern "C" int pthread_create(pthread_t* made, const pthread_attr_t* attributes,
                              void* (*run)(void*), void* argument) {
    static auto* const real =
        reinterpret_cast<decltype(&pthread_create)>(::dlsym(RTLD_NEXT, "pthread_create"));
    return no_threads ? EAGAIN : real(made, attributes, run, argument);
}

namespace {

/// A listener whose queue of connects is full: a further connect finds no place.
class full_listener {
  public:
    explicit full_listener(int family) {
        fd_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (family == AF_UNIX) {
            sockaddr_un name{};
            name.sun_family = AF_UNIX;
            // An abstract name: no file is left behind.
            const std::string text = "ropeway-cancel-" + std::to_string(::getpid());
            std::memcpy(name.sun_path + 1, text.data(), text.size());
            size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
            std::memcpy(&address_, &name, sizeof name);
        } else {
            sockaddr_in name{};
            name.sin_family = AF_INET;
            name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            size_ = sizeof name;
            std::memcpy(&address_, &name, sizeof name);
        }
        auto* raw = reinterpret_cast<sockaddr*>(&address_);
        REQUIRE(::bind(fd_, raw, size_) == 0);
        REQUIRE(::getsockname(fd_, raw, &size_) == 0);
        REQUIRE(::listen(fd_, 0) == 0);
        for (int filler = 0; filler < 4; ++filler) {
            const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            static_cast<void>(::connect(fd, raw, size_));
            fillers_.push_back(fd);
        }
    }
    full_listener(const full_listener&) = delete;
    full_listener& operator=(const full_listener&) = delete;
    ~full_listener() {
        for (const int fd : fillers_) {
            ::close(fd);
        }
        for (const int fd : taken_) {
            ::close(fd);
        }
        ::close(fd_);
    }

    void fill(cancel_target& target) const {
        target.address = address_;
        target.address_size = size_;
    }

    /// Takes connects until one brings a request; the others stay open, their requests for the
    /// next call. @return it, or an empty text after `patience`
    std::string take_request(std::chrono::milliseconds patience) {
        const auto end = steady::now() + patience;
        do {
            pollfd look{fd_, POLLIN, 0};
            ::poll(&look, 1, 1);
            if (const int one = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
                one >= 0) {
                taken_.push_back(one);
            }
            for (auto one = taken_.begin(); one != taken_.end(); ++one) {
                std::array<char, 64> room{};
                const ssize_t got = ::recv(*one, room.data(), room.size(), 0);
                if (got > 0) {
                    ::close(*one);
                    taken_.erase(one);
                    return {room.data(), static_cast<std::size_t>(got)};
                }
            }
        } while (steady::now() < end);
        return {};
    }

  private:
    int fd_ = -1;
    sockaddr_storage address_{};
    socklen_t size_ = 0;
    std::vector<int> fillers_{};
    std::vector<int> taken_{};
};

TEST_CASE("A request that finds no place is sent when there is one, and holds nobody meanwhile") {
    for (const int family : {AF_UNIX, AF_INET}) {
        full_listener listener(family);
        cancel_sender sender;
        cancel_target target;
        listener.fill(target);
        target.backend_pid = 0x01020304;
        target.secret = 0xa1b2c3d4;
        target.timeout = 20s;
        const ropeway_test::host_jitter jitter;
        const auto begun = steady::now();
        REQUIRE(sender.send(target));
        const auto lasted = steady::now() - begun;
        CHECK(lasted < 1s + jitter.lost());
        const std::string request = listener.take_request(15s);
        const std::array<unsigned char, 16> expected{0, 0, 0, 16, 4,    210,  22,   46,
                                                     1, 2, 3, 4,  0xa1, 0xb2, 0xc3, 0xd4};
        REQUIRE(request.size() == expected.size());
        CHECK(std::memcmp(request.data(), expected.data(), expected.size()) == 0);
    }
}

[[nodiscard]] std::ptrdiff_t open_descriptors() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

TEST_CASE("A request is given up at its deadline, and the sender goes on") {
    full_listener listener(AF_UNIX);
    cancel_sender sender;
    cancel_target target;
    listener.fill(target);
    target.timeout = 1ms;
    const std::ptrdiff_t before = open_descriptors();
    REQUIRE(sender.send(target));
    // The sender's own way to be woken stays open, the request's socket does not.
    const auto end = steady::now() + 5s;
    while (open_descriptors() != before + 1 && steady::now() < end) {
    }
    CHECK(open_descriptors() == before + 1);
    target.secret = 7;
    target.timeout = 20s;
    REQUIRE(sender.send(target));
    const std::string request = listener.take_request(15s);
    REQUIRE(request.size() == 16);
    CHECK(request.back() == 7);
    CHECK(listener.take_request(20ms).empty());
}

TEST_CASE("A request for which no thread can begin leaves nothing open, and a later one is sent") {
    full_listener listener(AF_UNIX);
    cancel_sender sender;
    cancel_target target;
    listener.fill(target);
    target.timeout = 20s;
    const std::ptrdiff_t before = open_descriptors();
    no_threads = true;
    const bool sent = sender.send(target);
    no_threads = false;
    CHECK_FALSE(sent);
    CHECK(open_descriptors() == before);
    REQUIRE(sender.send(target));
    CHECK(listener.take_request(15s).size() == 16);
}

TEST_CASE("A sender that ends gives up what is under way at once") {
    full_listener listener(AF_UNIX);
    const ropeway_test::host_jitter jitter;
    const auto begun = steady::now();
    {
        cancel_sender sender;
        cancel_target target;
        listener.fill(target);
        target.timeout = 60s;
        REQUIRE(sender.send(target));
    }
    const auto lasted = steady::now() - begun;
    CHECK(lasted < 2s + jitter.lost());
}

TEST_CASE("A request to nobody says that it could not be begun") {
    cancel_sender sender;
    cancel_target target;
    {
        full_listener gone(AF_UNIX);
        gone.fill(target);
    }
    CHECK_FALSE(sender.send(target));
}

#if !defined(__SANITIZE_THREAD__)  // a forked child starts no thread under it
TEST_CASE("A forked child's request is sent by a thread of the child's own") {
    full_listener listener(AF_UNIX);
    auto sender = std::make_unique<cancel_sender>();
    cancel_target target;
    listener.fill(target);
    target.timeout = 1ms;
    REQUIRE(sender->send(target));  // the parent's thread has begun
    target.secret = 9;
    target.timeout = 20s;
    int done[2]{};
    REQUIRE(::pipe2(done, O_CLOEXEC) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(30);
        const bool sent = sender->send(target);
        char end = 0;
        ::close(done[1]);
        static_cast<void>(!::read(done[0], &end, 1));  // until the parent has it
        sender.reset();
        ::_exit(sent ? 0 : 1);
    }
    ::close(done[0]);
    const auto end = steady::now() + 15s;
    std::string request;
    // The parent's may come too: its last attempt is at its deadline.
    while ((request.empty() || request.back() != 9) && steady::now() < end) {
        request = listener.take_request(1s);
    }
    ::close(done[1]);
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    REQUIRE(request.size() == 16);
    CHECK(request.back() == 9);
}
#endif

}  // namespace
