// SPDX-License-Identifier: Apache-2.0
//
// Private: sends cancel requests without a wait on the thread that asks. libpq's own PQcancel waits
// for a connect, for the bytes and for the server's answer; here what is not sent at once is
// finished by one thread that polls all requests under way, each with a deadline.
//
// Owned by the settings and the connections made from them. Thread safety: send() from any thread.
// The thread is named "pg cancel", begins with the first request that is not sent at once, and is
// joined in the destructor, which gives up what is under way. A forked child has a thread of its
// own for its requests; what its copy holds of the parent's stays as it is until the child ends,
// since its thread is not there and its lock may never be released.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

namespace ropeway::postgres::detail {

/// Where a backend's cancel requests go, and the key they show. Kind of a capability: never logged.
struct cancel_target {
    sockaddr_storage address{};
    socklen_t address_size = 0;
    std::uint32_t backend_pid = 0;
    std::uint32_t secret = 0;
    bool has_key = false;  ///< address and secret are known
    std::chrono::milliseconds timeout{2000};
    std::shared_ptr<class cancel_sender> sender{};
    /// Whose commands may be canceled: twice the lease's number, one more once it was asked for, or
    /// `over`. A return makes it the next lease's if nobody has asked; a request marks it if it is
    /// its token's lease still. This word alone decides between the two.
    std::atomic<std::uint64_t> lease{0};
    static constexpr std::uint64_t asked = 1;
    /// The session has ended: its process id may belong to another one.
    static constexpr std::uint64_t over = ~std::uint64_t{0};
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
};

class cancel_sender {
  public:
    cancel_sender() noexcept = default;
    cancel_sender(const cancel_sender&) = delete;
    cancel_sender& operator=(const cancel_sender&) = delete;
    ~cancel_sender();

    /// Begins a request; never waits. @return false if it could not be begun
    bool send(const cancel_target& target) noexcept;

  private:
    class worker;
    /// This process's, made when first asked for. @throws std::bad_alloc
    worker& own_worker();

    /// Owned. A release store publishes a whole worker, an acquire load reads it.
    std::atomic<worker*> worker_{nullptr};
};

/// The requests of one process that were not sent at once, and their thread.
class cancel_sender::worker {
  public:
    worker() noexcept = default;
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;
    ~worker();

    using time_point = std::chrono::steady_clock::time_point;
    /// A request whose socket is still connecting.
    struct pending {
        int fd = -1;
        time_point end{};
        std::array<unsigned char, 16> bytes{};
        sockaddr_storage address{};
        socklen_t address_size = 0;
        /// A unix socket's queue was full: nothing tells when it is not, so it is tried again.
        bool connect_again = false;
    };
    void hand_over(const pending& request);
    [[nodiscard]] bool in_this_process() const noexcept { return process_ == ::getpid(); }

  private:
    static bool get_on(pending& request, bool ready) noexcept;
    void run() noexcept;
    void turn(std::vector<pending>& under_way) noexcept;

    const pid_t process_ = ::getpid();
    std::mutex lock_;
    std::vector<pending> handed_over_{};  // guarded by lock_
    bool ended_ = false;                  // guarded by lock_
    std::thread thread_{};                // guarded by lock_ until the destructor
    int wake_fd_ = -1;                    // constant once the thread has begun
};

}  // namespace ropeway::postgres::detail
