// SPDX-License-Identifier: Apache-2.0
//
// Cancel requests: connect, 16 bytes, done. The server closes the connection without an answer.
#include "cancel_sender.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <new>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <ropeway/pool/postgres/cancel_token.hpp>

namespace ropeway::postgres {

namespace detail {

namespace {

/// CancelRequest of the protocol: its length, its code, the backend, its key; big-endian.
[[nodiscard]] std::array<unsigned char, 16> request_bytes(const cancel_target& target) noexcept {
    constexpr std::uint32_t cancel_code = (1234U << 16U) | 5678U;
    const std::array<std::uint32_t, 4> words{16, cancel_code, target.backend_pid, target.secret};
    std::array<unsigned char, 16> bytes{};
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        bytes[at] = static_cast<unsigned char>(words[at / 4] >> (24 - 8 * (at % 4)));
    }
    return bytes;
}

/// True if all of it went, or never will: then the socket is of no more use.
[[nodiscard]] bool try_send(int fd, const std::array<unsigned char, 16>& bytes) noexcept {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent > 0 || (errno != EAGAIN && errno != ENOTCONN && errno != EINTR);
}

enum class connect_state : std::uint8_t { connected, in_progress, queue_full, failed };

[[nodiscard]] connect_state try_connect(int fd, const sockaddr_storage& to,
                                        socklen_t size) noexcept {
    // The cast that the socket interface is made of.
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to), size) == 0) {
        return connect_state::connected;
    }
    if (errno == EINPROGRESS || errno == EINTR) {
        return connect_state::in_progress;
    }
    return errno == EAGAIN ? connect_state::queue_full : connect_state::failed;
}

}  // namespace

bool cancel_sender::send(const cancel_target& target) noexcept {
    const int fd =
        ::socket(target.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return false;
    }
    const connect_state state = try_connect(fd, target.address, target.address_size);
    const auto bytes = request_bytes(target);
    if (state == connect_state::failed) {
        ::close(fd);
        return false;
    }
    if (state != connect_state::queue_full && try_send(fd, bytes)) {
        ::close(fd);
        return true;
    }
    try {
        own_worker().hand_over({.fd = fd,
                                .end = std::chrono::steady_clock::now() + target.timeout,
                                .bytes = bytes,
                                .address = target.address,
                                .address_size = target.address_size,
                                .connect_again = state == connect_state::queue_full});
    } catch (const std::exception&) {  // no thread or memory: the request is given up
        ::close(fd);
        return false;
    }
    return true;
}

cancel_sender::worker& cancel_sender::own_worker() {
    // Acquire: pairs with the exchange below, which another thread may have made.
    worker* there = worker_.load(std::memory_order_acquire);
    if (there != nullptr && there->in_this_process()) {
        return *there;
    }
    auto made = std::make_unique<worker>();
    // Release: the thread that finds it finds it whole. Acquire where another was faster: pairs
    // with its release. A parent's is left where it is.
    if (worker_.compare_exchange_strong(there, made.get(), std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
        return *made.release();
    }
    return *there;
}

cancel_sender::~cancel_sender() {
    // Acquire: pairs with own_worker().
    std::unique_ptr<worker> last(worker_.load(std::memory_order_acquire));
    if (last != nullptr && !last->in_this_process()) {
        static_cast<void>(last.release());
    }
}

void cancel_sender::worker::hand_over(const pending& request) {
    const std::lock_guard held(lock_);
    handed_over_.push_back(request);
    try {
        if (!thread_.joinable()) {
            wake_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
            if (wake_fd_ < 0) {
                throw std::system_error(errno, std::generic_category(), "eventfd");
            }
            thread_ = std::thread([this] { run(); });
            pthread_setname_np(thread_.native_handle(), "pg cancel");
        }
    } catch (const std::exception&) {
        handed_over_.pop_back();
        if (!thread_.joinable() && wake_fd_ >= 0) {
            ::close(std::exchange(wake_fd_, -1));
        }
        throw;
    }
    eventfd_write(wake_fd_, 1);
}

void cancel_sender::worker::run() noexcept {
    std::vector<pending> under_way;
    for (;;) {
        {
            const std::lock_guard held(lock_);
            if (ended_) {
                break;
            }
            under_way.insert(under_way.end(), handed_over_.begin(), handed_over_.end());
            handed_over_.clear();
        }
        turn(under_way);
    }
    for (const pending& request : under_way) {
        ::close(request.fd);
    }
}

bool cancel_sender::worker::get_on(pending& request, bool ready) noexcept {
    if (request.connect_again) {
        const connect_state state = try_connect(request.fd, request.address, request.address_size);
        request.connect_again = state == connect_state::queue_full;
        return state == connect_state::failed ||
               (state == connect_state::connected && try_send(request.fd, request.bytes));
    }
    return ready && try_send(request.fd, request.bytes);
}

void cancel_sender::worker::turn(std::vector<pending>& under_way) noexcept {
    constexpr std::chrono::milliseconds connect_pause{5};
    std::vector<pollfd> fds{{wake_fd_, POLLIN, 0}};
    auto next = time_point::max();
    for (const pending& request : under_way) {
        // One that is not connecting is not polled: its socket would say that it has hung up.
        fds.push_back({request.connect_again ? -1 : request.fd, POLLOUT, 0});
        next = std::min(next, request.end);
        if (request.connect_again) {
            next = std::min(next, std::chrono::steady_clock::now() + connect_pause);
        }
    }
    int wait_ms = -1;
    if (!under_way.empty()) {
        const auto left = next - std::chrono::steady_clock::now();
        const auto rounded = std::chrono::ceil<std::chrono::milliseconds>(left);
        wait_ms = static_cast<int>(std::max<std::int64_t>(rounded.count(), 0));
    }
    ::poll(fds.data(), fds.size(), wait_ms);
    eventfd_t wakes = 0;
    eventfd_read(wake_fd_, &wakes);
    const auto now = std::chrono::steady_clock::now();
    std::size_t place = 0;
    std::erase_if(under_way, [&](pending& request) {
        const bool over = get_on(request, fds[++place].revents != 0) || now >= request.end;
        if (over) {
            ::close(request.fd);
        }
        return over;
    });
}

cancel_sender::worker::~worker() {
    {
        const std::lock_guard held(lock_);
        ended_ = true;
    }
    if (thread_.joinable()) {
        eventfd_write(wake_fd_, 1);
        thread_.join();
        ::close(wake_fd_);
    }
    for (const pending& request : handed_over_) {
        ::close(request.fd);
    }
}

}  // namespace detail

bool cancel_token::request() const noexcept {
    if (!target_ || !target_->has_key) {
        return false;
    }
    // Release: pairs with the acquire load in connection::is_doomed(). It stands before the
    // sending, so a holder whose command was canceled finds it set.
    // Relaxed where it fails: the word's value is all that counts.
    std::uint64_t lease = lease_;
    if (!target_->lease.compare_exchange_strong(lease, lease_ | detail::cancel_target::asked,
                                                std::memory_order_release,
                                                std::memory_order_relaxed) &&
        lease != (lease_ | detail::cancel_target::asked)) {
        return false;  // returned, or ended
    }
    return target_->sender->send(*target_);
}

}  // namespace ropeway::postgres
