// SPDX-License-Identifier: Apache-2.0
//
// The runtime's log: structured records, one line each, written by one thread of its own. Owned by
// whoever makes it; without a sink it writes nothing anywhere and has no thread. Every member is
// safe on every thread. A caller formats its line and hands it over; it never waits for a file, and
// when the queue is full the oldest line is dropped and counted. Not for the event path: workers
// leave failure records instead (failure_log.hpp).
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>

#include <ropeway/pool/event_traits.hpp>

namespace ropeway {

/// How much a record matters.
enum class log_level : std::uint8_t {
    trace,    ///< for whoever debugs the library
    debug,    ///< for whoever debugs a program
    info,     ///< what happened, a few lines per minute at most
    warning,  ///< something was lost, late or refused, and the program goes on
    error,    ///< something needs a person
    off,      ///< as a threshold: nothing
};

/// The level's name as it stands in every line.
[[nodiscard]] std::string_view to_string(log_level level) noexcept;

/// How a record becomes a line.
enum class log_format : std::uint8_t {
    text,  ///< time [level] message key=value key="other value"
    json,  ///< one JSON object: time, level, message, then the fields
};

/// One named value of a record. Refers to its texts: they must outlive the call only.
class log_field {
  public:
    using value_type =
        std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool, trace_id>;

    /// Text, number, truth value, or a trace id (32 hexadecimal digits).
    template <class Value>
    log_field(std::string_view key, const Value& value) noexcept
        : key_(key), value_(convert(value)) {}

    [[nodiscard]] std::string_view key() const noexcept { return key_; }
    [[nodiscard]] const value_type& value() const noexcept { return value_; }

  private:
    template <class Value>
    static value_type convert(const Value& value) noexcept {
        if constexpr (std::same_as<Value, bool> || std::same_as<Value, trace_id>) {
            return value;
        } else if constexpr (std::floating_point<Value>) {
            return static_cast<double>(value);
        } else if constexpr (std::signed_integral<Value>) {
            return static_cast<std::int64_t>(value);
        } else if constexpr (std::unsigned_integral<Value>) {
            return static_cast<std::uint64_t>(value);
        } else {
            static_assert(std::convertible_to<const Value&, std::string_view>,
                          "a log field is text, a number, a bool or a trace_id");
            return std::string_view{value};
        }
    }

    std::string_view key_;
    value_type value_;
};

/// Where the log goes and what bounds it. With no sink set (the default) it goes nowhere.
struct logging_params {
    /// Sink: the file that lines are appended to; created if missing. Empty (default): no file.
    std::string file{};
    /// Sink: standard error. Off by default: a library does not print unasked.
    bool to_standard_error = false;
    /// Sink: called on the log's thread with each line, without its end of line. It must return:
    /// while it does not, lines are dropped, and the logger's destructor waits. What it throws is
    /// counted as a write error. Default: none.
    std::function<void(log_level, std::string_view line)> callback{};
    /// Records below this level are ignored. Default info.
    log_level level = log_level::info;
    /// Default text, for people; json for machines.
    log_format format = log_format::text;
    /// Lines that may wait for the thread; beyond it the oldest is dropped and counted.
    /// 2..1048576; default 4096, about 2 MB.
    std::uint32_t queue_capacity = 4096;
    /// At most this many records of one message per `rate_interval`; the rest is suppressed, and
    /// its number told with the next record of that message. At least 1; default 20.
    std::uint32_t rate_burst = 20;
    /// At least 1 ms; default 1 s.
    std::chrono::milliseconds rate_interval{1000};
    /// A message, key or text value longer than this is cut and ends in "...". 16..65536; default
    /// 4096, enough for a stack of 16 frames.
    std::uint32_t max_text_bytes = 4096;
    /// The destructor writes what is queued for at most this long, then discards and counts the
    /// rest. 0 or more; default 2 s.
    std::chrono::milliseconds close_within{2000};
    /// The thread's name, cut at 15 characters.
    std::string thread_name = "rw-log";
    /// Tells the time, for stamps and rates; called by whoever writes. Default: system_clock.
    std::function<std::chrono::system_clock::time_point()> clock{};
};

/// What became of the records so far. accepted = written + dropped + discarded + still queued.
struct logging_stats {
    std::uint64_t accepted = 0;      ///< took their way to the queue
    std::uint64_t written = 0;       ///< reached the sinks
    std::uint64_t dropped = 0;       ///< pushed out of the full queue, or no memory for them
    std::uint64_t discarded = 0;     ///< still queued when close_within had passed
    std::uint64_t suppressed = 0;    ///< refused by the rate limit; not accepted
    std::uint64_t write_errors = 0;  ///< a sink could not take a line (disk full, it threw)
};

/// The log's file cannot be opened.
class logging_error : public std::runtime_error {
  public:
    logging_error(std::string path, int error_number);
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] int error_number() const noexcept { return error_number_; }

  private:
    std::string path_;
    int error_number_;
};

/// The log. Uses a spdlog queue and thread of its own, never spdlog's global ones.
class logger {
  public:
    /// Throws std::invalid_argument with field, value and legal range; logging_error when the file
    /// cannot be opened.
    explicit logger(logging_params params = {});
    logger(const logger&) = delete;
    logger& operator=(const logger&) = delete;
    /// Writes what is queued within `close_within` and joins the thread. Waits longer only for the
    /// one write or callback that is in progress.
    ~logger();

    /// True when a record of this level would reach a sink, rate aside.
    [[nodiscard]] bool enabled(log_level level) const noexcept;

    /// Queues one record; its rate is that of its message. Returns false when it was filtered by
    /// level, suppressed, or there was no memory for it. Never waits, never throws.
    bool write(log_level level, std::string_view message,
               std::initializer_list<log_field> fields = {}) noexcept;
    bool write(log_level level, std::string_view message,
               std::span<const log_field> fields) noexcept;
    /// The same, with a rate of its own for each `key`: for a message whose text varies.
    bool write_keyed(std::string_view key, log_level level, std::string_view message,
                     std::span<const log_field> fields) noexcept;
    /// The same without a rate: for records of which each one counts.
    bool write_each(log_level level, std::string_view message,
                    std::span<const log_field> fields) noexcept;

    /// Waits until everything this thread wrote has left the queue, at most `within`. Returns
    /// whether it did. Not for the log's own callback.
    bool flush(std::chrono::milliseconds within) noexcept;

    [[nodiscard]] std::uint64_t approx_backlog() const noexcept;  ///< lines queued about now
    [[nodiscard]] std::uint32_t capacity() const noexcept;        ///< lines that may be queued
    [[nodiscard]] logging_stats stats() const noexcept;

  private:
    struct parts;
    std::unique_ptr<parts> parts_;  ///< null without a sink; constant after construction
};

}  // namespace ropeway
