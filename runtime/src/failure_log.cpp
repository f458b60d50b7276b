// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/failure_log.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <limits>
#include <semaphore>
#include <stdexcept>
#include <thread>
#include <utility>

#include <pthread.h>

#include <ropeway/pool/end_of_wait.hpp>

#include "log_line.hpp"

namespace ropeway {
namespace {

using steady = std::chrono::steady_clock;

constexpr std::size_t batch_records = 64;
constexpr steady::rep never = std::numeric_limits<steady::rep>::max();

/// The text up to its '\0', or the whole array if a torn record has none.
template <std::size_t Size>
std::string_view text_of(const char (&text)[Size]) noexcept {
    const void* end = std::memchr(text, '\0', Size);
    return {text,
            end == nullptr ? Size : static_cast<std::size_t>(static_cast<const char*>(end) - text)};
}

}  // namespace

struct failure_log::parts {
    parts(logger& to, failure_source from, failure_log_params given)
        : log(to), source(std::move(from)), params(std::move(given)), thread([this] { run(); }) {}
    parts(const parts&) = delete;
    parts& operator=(const parts&) = delete;
    ~parts() { stop(); }

    bool stop() noexcept {
        if (thread.joinable()) {
            // Release pairs with run(): what the caller left in the source before is carried.
            const auto end = detail::end_of_wait(steady::now(), params.stop_within);
            deadline.store(std::min(end.time_since_epoch().count(), never - 1),
                           std::memory_order_release);
            wake.release();
            thread.join();
        }
        return drained;
    }

    void run() noexcept {
        pthread_setname_np(pthread_self(), params.thread_name.substr(0, 15).c_str());
        for (;;) {
            // Read before the source is: records left before stop() are seen. Acquire pairs with
            // stop().
            const bool last = deadline.load(std::memory_order_acquire) != never;
            drained = carry_all();
            if (last) {
                return;
            }
            static_cast<void>(wake.try_acquire_for(params.poll));
        }
    }

    /// Carries batches until the source is empty (true) or stop()'s time is over (false).
    bool carry_all() noexcept {
        while (!overdue()) {
            const std::size_t got = take();
            for (std::size_t i = 0; i < got; ++i) {
                wait_for_log();
                carry(batch[i]);
            }
            if (got == 0) {
                return true;
            }
        }
        return false;
    }

    [[nodiscard]] bool overdue() const noexcept {
        // Relaxed: only a time.
        return steady::now().time_since_epoch().count() >= deadline.load(std::memory_order_relaxed);
    }

    std::size_t take() noexcept {
        try {
            return std::min(source(batch), batch.size());
        } catch (...) {
            errors.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
            return 0;
        }
    }

    /// Half of the log's queue stays free for other writers: a line pushed out is a lost record.
    void wait_for_log() const noexcept {
        while (log.approx_backlog() > log.capacity() / 2 && !overdue()) {
            std::this_thread::sleep_for(std::chrono::microseconds{200});
        }
    }

    void carry(const failure_record& record) noexcept {
        // Relaxed on both: counts.
        carried.fetch_add(1, std::memory_order_relaxed);
        try {
            if (params.observer) {
                params.observer(record);
            }
            write(record);
        } catch (...) {
            errors.fetch_add(1, std::memory_order_relaxed);
        }
    }

    void write(const failure_record& record) {
        if (!log.enabled(params.level)) {
            return;
        }
        std::string at;
        detail::append_time(at, record.at_ns);
        const std::string stack = render_stack(record.stack);
        const log_field kind = params.kind_name == nullptr
                                   ? log_field{"kind", record.kind}
                                   : log_field{"kind", params.kind_name(record.kind)};
        const std::array<log_field, 8> fields{{{"trace_id", record.trace},
                                               {"consumer", text_of(record.consumer)},
                                               kind,
                                               {"routing_version", record.routing_version},
                                               {"sequence", record.sequence},
                                               {"what", text_of(record.what)},
                                               {"at", at},
                                               {"stack", stack}}};
        // An empty stack (no ropeway::throw_sites) is left out.
        log.write_each(params.level, "consumer failed",
                       std::span{fields}.first(stack.empty() ? 7 : 8));
    }

    logger& log;
    failure_source source;                              ///< the thread only
    failure_log_params params;                          ///< constant after construction
    std::array<failure_record, batch_records> batch{};  ///< the thread only
    std::atomic<std::uint64_t> carried{0};
    std::atomic<std::uint64_t> errors{0};
    std::atomic<steady::rep> deadline{never};  ///< of the last carrying; `never` until stop()
    bool drained = false;                      ///< the thread; after its join, stop()'s caller
    std::binary_semaphore wake{0};
    std::thread thread;  ///< last: it uses all of the above
};

failure_log::failure_log(logger& log, failure_source source, failure_log_params params) {
    if (!source) {
        throw std::invalid_argument{"failure_log: no source; give it what drains the failures"};
    }
    if (params.poll.count() < 1 || params.stop_within.count() < 0) {
        throw std::invalid_argument{"failure_log_params: poll is " +
                                    std::to_string(params.poll.count()) + " ms and stop_within " +
                                    std::to_string(params.stop_within.count()) +
                                    " ms; they must be at least 1 and 0"};
    }
    parts_ = std::make_unique<parts>(log, std::move(source), std::move(params));
}

failure_log::~failure_log() = default;

bool failure_log::stop() noexcept { return parts_->stop(); }

std::uint64_t failure_log::carried() const noexcept {
    return parts_->carried.load(std::memory_order_relaxed);  // relaxed: a count
}

std::uint64_t failure_log::source_errors() const noexcept {
    return parts_->errors.load(std::memory_order_relaxed);  // relaxed: a count
}

}  // namespace ropeway
