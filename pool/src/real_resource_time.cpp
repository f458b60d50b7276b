// SPDX-License-Identifier: Apache-2.0
//
// Real time: the steady clock, a named thread per loop that waits in ppoll on the loop's
// descriptors and an eventfd, and futexes with absolute deadlines. The table of loops has a lock,
// taken at start, stop and wake; never while waiting.
#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <linux/futex.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ropeway/pool/resource_time.hpp>
#include <ropeway/pool/thread_number.hpp>

namespace ropeway {

namespace {

timespec to_timespec(std::chrono::nanoseconds time) noexcept {
    const auto ns = std::max<std::chrono::nanoseconds::rep>(time.count(), 0);
    return {.tv_sec = static_cast<time_t>(ns / 1'000'000'000),
            .tv_nsec = static_cast<long>(ns % 1'000'000'000)};
}

/// From now to `until`, at least 0, at most an hour.
timespec rest_until(resource_clock_point until) noexcept {
    const auto rest = until - std::chrono::steady_clock::now();
    return to_timespec(std::min<std::chrono::nanoseconds>(rest, std::chrono::hours{1}));
}

/// How long a caller's probe looks for its answer before it sleeps: some round trips of a unix
/// socket, a fraction of what sleeping and waking cost where the answer takes longer.
constexpr std::chrono::microseconds look_first{30};

/// One loop's thread.
class loop_thread {
  public:
    loop_thread(resource_loop& loop, std::string_view name)
        : loop_(loop), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (wake_ < 0) {
            throw std::system_error(errno, std::generic_category(), "eventfd of a pool's thread");
        }
        try {
            thread_ = std::thread([this, text = std::string(name)] { run(text); });
        } catch (...) {
            ::close(wake_);
            throw;
        }
    }
    loop_thread(const loop_thread&) = delete;
    loop_thread& operator=(const loop_thread&) = delete;
    ~loop_thread() {
        ending_.store(true, std::memory_order_release);  // pairs with run(): nothing but the flag
        wake();
        thread_.join();
        ::close(wake_);
    }

    [[nodiscard]] const resource_loop* loop() const noexcept { return &loop_; }
    void wake() const noexcept {
        const std::uint64_t one = 1;
        // It fails only where the counter is full, and then a turn is due already.
        [[maybe_unused]] const auto written = ::write(wake_, &one, sizeof(one));
    }

  private:
    void run(const std::string& name) noexcept {
        const std::string kept = name.substr(0, 15);
        ::pthread_setname_np(::pthread_self(), kept.c_str());
        name_this_thread(kept);
        std::vector<pollfd> fds;
        fds.reserve(64);
        while (!ending_.load(std::memory_order_acquire)) {  // pairs with the destructor
            const auto [wanted, next] = loop_.turn();
            fds.assign(wanted.begin(), wanted.end());
            fds.push_back({.fd = wake_, .events = POLLIN, .revents = 0});
            const timespec rest = rest_until(next);
            if (::ppoll(fds.data(), fds.size(), &rest, nullptr) < 0) {
                for (pollfd& each : fds) {
                    each.revents = 0;
                }
            }
            for (std::size_t i = 0; i != wanted.size(); ++i) {
                wanted[i].revents = fds[i].revents;
            }
            if (fds.back().revents != 0) {
                std::uint64_t count = 0;
                [[maybe_unused]] const auto got = ::read(wake_, &count, sizeof(count));
            }
        }
    }

    resource_loop& loop_;
    int wake_;
    std::atomic<bool> ending_{false};
    std::thread thread_{};
};

class real_time final : public resource_time {
  public:
    real_time() noexcept;

    resource_clock_point now() noexcept override { return std::chrono::steady_clock::now(); }

    void start(resource_loop& loop, std::string_view name) override {
        auto made = std::make_unique<loop_thread>(loop, name);
        const std::lock_guard hold(lock_);
        threads_.push_back(std::move(made));
    }
    void stop(resource_loop& loop) noexcept override {
        std::unique_ptr<loop_thread> ended;
        const std::lock_guard hold(lock_);
        const auto at = find(loop);
        if (at != threads_.end()) {
            ended = std::move(*at);
            threads_.erase(at);
        }
        // `ended` joins after the lock is released: it was declared before the guard.
    }
    void wake(resource_loop& loop) noexcept override {
        const std::lock_guard hold(lock_);
        const auto at = find(loop);
        if (at != threads_.end()) {
            (*at)->wake();
        }
    }

    void wait(std::atomic<std::uint32_t>& word, std::uint32_t expected,
              resource_clock_point until) noexcept override {
        const timespec end = to_timespec(until.time_since_epoch());
        // The kernel compares the word itself; the caller looks at it again in any case.
        ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, expected, &end, nullptr,
                  FUTEX_BITSET_MATCH_ANY);
    }
    void notify(std::atomic<std::uint32_t>& word) noexcept override {
        // The word may be gone already: only its address is used.
        ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
    }
    short poll(int fd, short events, resource_clock_point until) noexcept override {
        pollfd one{.fd = fd, .events = events, .revents = 0};
        // A server near by has answered before this thread would be asleep and awake again.
        const auto awake = std::min(until, std::chrono::steady_clock::now() + look_first);
        for (;;) {
            const timespec rest =
                std::chrono::steady_clock::now() < awake ? timespec{} : rest_until(until);
            const int ready = ::ppoll(&one, 1, &rest, nullptr);
            if (ready > 0) {
                return one.revents;
            }
            if ((ready == 0 && std::chrono::steady_clock::now() >= until) ||
                (ready < 0 && errno != EINTR)) {
                return 0;
            }
        }
    }

    // Around fork(): the lock is free in the child, and the parent's threads, which the child does
    // not have, are forgotten there rather than joined.
    void before_fork() noexcept { lock_.lock(); }
    void after_fork(bool in_child) noexcept {
        if (in_child) {
            for (auto& each : threads_) {
                static_cast<void>(each.release());
            }
            threads_.clear();
        }
        lock_.unlock();
    }

  private:
    std::vector<std::unique_ptr<loop_thread>>::iterator find(const resource_loop& loop) noexcept {
        return std::find_if(threads_.begin(), threads_.end(),
                            [&loop](const auto& each) { return each->loop() == &loop; });
    }

    std::mutex lock_{};
    std::vector<std::unique_ptr<loop_thread>> threads_{};  ///< guarded by lock_
};

static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

constinit real_time* the_one = nullptr;  ///< set once, before the handlers below

extern "C" {
void ropeway_before_fork() { the_one->before_fork(); }
void ropeway_after_fork_in_parent() { the_one->after_fork(false); }
void ropeway_after_fork_in_child() { the_one->after_fork(true); }
}

real_time::real_time() noexcept {
    the_one = this;
    ::pthread_atfork(ropeway_before_fork, ropeway_after_fork_in_parent,
                     ropeway_after_fork_in_child);
}

}  // namespace

resource_time& real_resource_time() noexcept {
    // Never destroyed: a pool in static storage may outlive whatever ends first.
    alignas(real_time) static std::byte storage[sizeof(real_time)];
    static real_time* const one = std::construct_at(reinterpret_cast<real_time*>(storage));
    return *one;
}

}  // namespace ropeway
