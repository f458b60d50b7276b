// SPDX-License-Identifier: Apache-2.0
//
// Carries failure records from where the workers left them to the log: one thread, owned by one
// object, joined in its destructor. Formatting, symbol lookup and the log's queue happen on that
// thread, never on a worker. Every record is written (there is no rate limit here): when the log
// falls behind, this thread waits for it, and the records wait in their own bounded queue.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <ropeway/consumer/failure.hpp>
#include <ropeway/runtime/logging.hpp>

namespace ropeway {

/// Moves up to out.size() records into `out` and tells how many; 0 = none now. Called by the
/// failure log's thread only. What it throws is counted, and it is called again after `poll`.
using failure_source = std::function<std::size_t(std::span<failure_record> out)>;

/// How the failure log works.
struct failure_log_params {
    /// How long the thread sleeps when the source was empty; the most a record waits there.
    /// At least 1 ms; default 10 ms (well below 0.1 % of a CPU).
    std::chrono::milliseconds poll{10};
    /// stop() carries what the source holds for at most this long. 0 or more; default 2 s.
    std::chrono::milliseconds stop_within{2000};
    /// The level of a failure's record. Default warning.
    log_level level = log_level::warning;
    /// Names the kinds of the program's event type; null (default): kinds are written as numbers.
    std::string_view (*kind_name)(std::uint32_t kind) = nullptr;
    /// Called with every record, before it is logged, on the failure log's thread. Default: none.
    std::function<void(const failure_record&)> observer{};
    /// The thread's name, cut at 15 characters.
    std::string thread_name = "rw-failures";
};

/// The thread that carries failures away.
/// Ownership: borrows the logger and whatever the source refers to; both must outlive it.
/// Thread safety: carried() and source_errors() from any thread; stop() from one.
class failure_log {
  public:
    /// Starts the thread. Throws std::invalid_argument for a field out of range or no source.
    failure_log(logger& log, failure_source source, failure_log_params params = {});
    failure_log(const failure_log&) = delete;
    failure_log& operator=(const failure_log&) = delete;
    ~failure_log();  ///< stop()

    /// Carries what is left for at most `stop_within`, then joins the thread. Returns true when the
    /// source was empty at the end. A second call returns the same.
    bool stop() noexcept;

    [[nodiscard]] std::uint64_t carried() const noexcept;        ///< records taken from the source
    [[nodiscard]] std::uint64_t source_errors() const noexcept;  ///< source or observer threw

  private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

}  // namespace ropeway
