// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/logging.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <utility>

#include <pthread.h>
#include <spdlog/async_logger.h>
#include <spdlog/details/thread_pool.h>
#include <ropeway/pool/end_of_wait.hpp>

#include "log_line.hpp"
#include "log_rate.hpp"
#include "log_sink.hpp"

namespace ropeway {
namespace {

void require(bool legal, const char* field, std::uint64_t value, const char* range) {
    if (!legal) {
        throw std::invalid_argument{std::string{"logging_params::"} + field + " is " +
                                    std::to_string(value) + "; it must be " + range};
    }
}

logging_params checked(logging_params params) {
    require(params.queue_capacity >= 2 && params.queue_capacity <= 1048576, "queue_capacity",
            params.queue_capacity, "2..1048576");
    require(params.rate_burst >= 1, "rate_burst", params.rate_burst, "at least 1");
    require(params.rate_interval.count() >= 1, "rate_interval",
            static_cast<std::uint64_t>(std::max<std::int64_t>(params.rate_interval.count(), 0)),
            "at least 1 ms");
    require(params.max_text_bytes >= 16 && params.max_text_bytes <= 65536, "max_text_bytes",
            params.max_text_bytes, "16..65536");
    if (params.close_within.count() < 0) {
        throw std::invalid_argument{
            "logging_params::close_within is negative; it must be 0 or more"};
    }
    if (!params.clock) {
        params.clock = [] { return std::chrono::system_clock::now(); };
    }
    return params;
}

std::string open_error(const std::string& path, int error_number) {
    return "cannot open the log file '" + path + "': " + std::strerror(error_number) +
           ". Create its folder and make it writable, or name another file in "
           "logging_params::file (empty: no file)";
}

bool has_sink(const logging_params& params) {
    return !params.file.empty() || params.to_standard_error || params.callback;
}

}  // namespace

std::string_view to_string(log_level level) noexcept {
    switch (level) {
        case log_level::trace: return "trace";
        case log_level::debug: return "debug";
        case log_level::info: return "info";
        case log_level::warning: return "warning";
        case log_level::error: return "error";
        case log_level::off: break;
    }
    return "off";
}

logging_error::logging_error(std::string path, int error_number)
    : std::runtime_error(open_error(path, error_number)),
      path_(std::move(path)),
      error_number_(error_number) {}

/// Queue, thread and sink. The thread goes (and is joined) with `pool`, before the sink it uses.
struct logger::parts {
    explicit parts(logging_params given)
        : params(std::move(given)),
          rate(params.rate_burst, params.rate_interval),
          sink(std::make_shared<detail::log_sink>(params)),
          pool(std::make_shared<spdlog::details::thread_pool>(
              params.queue_capacity, 1,
              [name = params.thread_name.substr(0, 15)] {
                  pthread_setname_np(pthread_self(), name.c_str());
              })),
          queue(std::make_shared<spdlog::async_logger>(
              params.thread_name, sink, pool, spdlog::async_overflow_policy::overrun_oldest)) {
        queue->set_level(spdlog::level::trace);
        // spdlog's own handler prints to standard error. The sink lets nothing out, so what comes
        // here is a line that found no memory on its way into the queue.
        queue->set_error_handler([this](const std::string&) {
            out_of_memory.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
        });
    }
    parts(const parts&) = delete;
    parts& operator=(const parts&) = delete;
    ~parts() {
        flush(params.close_within);
        tell_losses();
        flush(std::chrono::milliseconds{100});
        sink->discard_rest();
        pool.reset();  // ends and joins the thread; `queue` holds it weakly
    }

    [[nodiscard]] std::uint64_t dropped() const noexcept {
        // Relaxed: a count.
        return pool->overrun_counter() + out_of_memory.load(std::memory_order_relaxed);
    }
    /// Records that have left the queue, one way or another.
    [[nodiscard]] std::uint64_t gone() const noexcept {
        return dropped() + sink->written() + sink->discarded();
    }
    [[nodiscard]] std::int64_t now() const {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(
                   params.clock().time_since_epoch())
            .count();
    }

    bool enqueue(detail::log_record record) noexcept {
        // Counted first, so that gone() never overtakes it. Relaxed: flush() reads it on the
        // thread that wrote the records it waits for.
        accepted.fetch_add(1, std::memory_order_relaxed);
        try {
            std::string line = detail::to_line(record, params.format, params.max_text_bytes);
            line += '\n';
            queue->log(detail::to_spdlog(record.level), spdlog::string_view_t{line});
            return true;
        } catch (...) {
            out_of_memory.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
            return false;
        }
    }
    bool admit_and_enqueue(const std::string_view* key, detail::log_record record) noexcept {
        try {
            record.at_ns = now();
        } catch (...) {  // a clock that throws: the record keeps time 0
        }
        if (key != nullptr) {
            const auto [pass, before] = rate.admit(*key, record.at_ns);
            if (!pass) {
                suppressed.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
                return false;
            }
            record.suppressed = before;
        }
        return enqueue(record);
    }

    bool flush(std::chrono::milliseconds within) noexcept {
        const std::uint64_t target = accepted.load(std::memory_order_relaxed);  // see enqueue()
        const auto until = detail::end_of_wait(std::chrono::steady_clock::now(), within);
        while (gone() < target) {
            if (std::chrono::steady_clock::now() >= until) {
                return false;
            }
            std::this_thread::sleep_for(std::chrono::microseconds{200});
        }
        return true;
    }
    /// The log's last line says what it does not hold.
    void tell_losses() noexcept {
        const std::uint64_t lost = dropped();
        const std::uint64_t errors = sink->write_errors();
        const std::uint64_t refused = suppressed.load(std::memory_order_relaxed);  // a count
        if (lost + errors + refused == 0 || params.level == log_level::off) {
            return;
        }
        const log_field fields[] = {
            {"lines_dropped", lost}, {"lines_suppressed", refused}, {"write_errors", errors}};
        admit_and_enqueue(nullptr, {0, log_level::warning, "the log is incomplete", fields, 0});
    }

    logging_params params;  ///< constant after construction
    detail::log_rate rate;
    std::atomic<std::uint64_t> accepted{0};
    std::atomic<std::uint64_t> suppressed{0};
    std::atomic<std::uint64_t> out_of_memory{0};
    std::shared_ptr<detail::log_sink> sink;
    std::shared_ptr<spdlog::details::thread_pool> pool;
    std::shared_ptr<spdlog::async_logger> queue;
};

logger::logger(logging_params params) {
    params = checked(std::move(params));
    if (has_sink(params)) {
        parts_ = std::make_unique<parts>(std::move(params));
    }
}

logger::~logger() = default;

bool logger::enabled(log_level level) const noexcept {
    return parts_ != nullptr && level != log_level::off && level >= parts_->params.level;
}

bool logger::write(log_level level, std::string_view message,
                   std::initializer_list<log_field> fields) noexcept {
    return write_keyed(message, level, message, {fields.begin(), fields.size()});
}

bool logger::write(log_level level, std::string_view message,
                   std::span<const log_field> fields) noexcept {
    return write_keyed(message, level, message, fields);
}

bool logger::write_keyed(std::string_view key, log_level level, std::string_view message,
                         std::span<const log_field> fields) noexcept {
    return enabled(level) && parts_->admit_and_enqueue(&key, {0, level, message, fields, 0});
}

bool logger::write_each(log_level level, std::string_view message,
                        std::span<const log_field> fields) noexcept {
    return enabled(level) && parts_->admit_and_enqueue(nullptr, {0, level, message, fields, 0});
}

bool logger::flush(std::chrono::milliseconds within) noexcept {
    return parts_ == nullptr || parts_->flush(within);
}

std::uint64_t logger::approx_backlog() const noexcept {
    if (parts_ == nullptr) {
        return 0;
    }
    const std::uint64_t gone = parts_->gone();  // first: it never exceeds what is read next
    return parts_->accepted.load(std::memory_order_relaxed) - gone;  // relaxed: a number
}

std::uint32_t logger::capacity() const noexcept {
    return parts_ == nullptr ? 0 : parts_->params.queue_capacity;
}

logging_stats logger::stats() const noexcept {
    logging_stats out;
    if (parts_ != nullptr) {
        out.written = parts_->sink->written();
        out.dropped = parts_->dropped();
        out.discarded = parts_->sink->discarded();
        out.write_errors = parts_->sink->write_errors();
        // Relaxed on both: counts.
        out.suppressed = parts_->suppressed.load(std::memory_order_relaxed);
        out.accepted = parts_->accepted.load(std::memory_order_relaxed);
    }
    return out;
}

}  // namespace ropeway
