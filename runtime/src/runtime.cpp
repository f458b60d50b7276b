// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/runtime.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

namespace ropeway {
namespace {

/// Whom the process-wide violation handler writes to. Static, because a handler may still run while
/// its runtime is taken down: the runtime waits for `inside` to fall to 0.
struct violation_target {
    std::atomic<logger*> log{nullptr};
    std::atomic<std::uint32_t> inside{0};
};
constinit violation_target target;

/// How long a violation that ends the process waits for the log's thread to write what is queued.
constexpr std::chrono::milliseconds last_words{1000};

void log_violation(const violation& what, void*) noexcept {
    // seq_cst on both, as in release_target(): either we see null, or it sees us inside.
    target.inside.fetch_add(1, std::memory_order_seq_cst);
    if (logger* const log = target.log.load(std::memory_order_seq_cst)) {
        try {
            const std::string report = to_string(what);
            const std::array<log_field, 3> fields{{{"violation", to_string(what.kind)},
                                                   {"pool", std::string_view{what.pool.data()}},
                                                   {"report", report}}};
            if (what.ends_process) {
                log->write_each(log_level::error, "pool misuse", fields);
            } else {
                log->write_keyed(to_string(what.kind), log_level::error, "pool misuse", fields);
            }
        } catch (const std::bad_alloc&) {
            log->write(log_level::error, "pool misuse, and no memory for its report");
        }
        if (what.ends_process) {
            static_cast<void>(log->flush(last_words));
        }
    }
    target.inside.fetch_sub(1, std::memory_order_release);  // pairs with release_target()
}

void release_target(logger& mine) noexcept {
    logger* expected = &mine;
    if (!target.log.compare_exchange_strong(expected, nullptr, std::memory_order_seq_cst,
                                            std::memory_order_seq_cst)) {
        return;  // a runtime made later has taken it over
    }
    set_violation_handler(nullptr, nullptr);
    while (target.inside.load(std::memory_order_seq_cst) != 0) {
        std::this_thread::yield();
    }
}

/// Connections that were still held when their pools' time was over.
std::uint64_t forced(const runtime_report& report) noexcept {
    std::uint64_t out = 0;
    for (const resource_shutdown_report& each : report.pools) {
        out += each.forced.size();
    }
    return out;
}

}  // namespace

namespace detail {

struct runtime_services::parts {
    explicit parts(const runtime_params& params)
        : log(params.log), pools(log), name(params.name), on_failure(params.on_failure) {}

    logger log;
    resource_pools pools;  ///< after the log, which their last words go to
    std::string name;
    std::function<void(const failure_record&)> on_failure;
    std::optional<failure_log> failures;
};

runtime_services::runtime_services(const runtime_params& params)
    : parts_(std::make_unique<parts>(params)) {
    if (params.log_violations) {
        target.log.store(&parts_->log, std::memory_order_seq_cst);  // see log_violation()
        set_violation_handler(&log_violation, nullptr);
    }
}

runtime_services::~runtime_services() {
    parts_->failures.reset();
    release_target(parts_->log);
}

void runtime_services::start(failure_source source, std::string_view (*kind_name)(std::uint32_t)) {
    parts_->pools.start();
    try {
        failure_log_params params;
        params.kind_name = kind_name;
        params.observer = parts_->on_failure;
        parts_->failures.emplace(parts_->log, std::move(source), std::move(params));
    } catch (...) {
        static_cast<void>(parts_->pools.stop(std::chrono::seconds{1}));
        throw;
    }
    parts_->log.write(log_level::info, "runtime started", {{"name", parts_->name}});
}

std::chrono::nanoseconds runtime_services::workers_share(
    std::chrono::nanoseconds deadline) const noexcept {
    constexpr std::chrono::nanoseconds most = std::chrono::milliseconds{500};
    return parts_->pools.size() == 0 ? deadline : deadline - std::min(deadline / 10, most);
}

void runtime_services::stop_pools(runtime_report& report,
                                  std::chrono::steady_clock::time_point until) {
    report.pools = parts_->pools.stop(until - std::chrono::steady_clock::now());
}

void runtime_services::stop(runtime_report& report) noexcept {
    if (parts_->failures) {
        static_cast<void>(parts_->failures->stop());
    }
    report.violations = all_violations().total();
    const stop_report& dispatcher = report.dispatcher;
    parts_->log.write(report.clean() ? log_level::info : log_level::error, "runtime stopped",
                      {{"name", parts_->name},
                       {"clean", report.clean()},
                       {"undelivered", dispatcher.undelivered},
                       {"undelivered_critical", dispatcher.undelivered_critical},
                       {"slots_outstanding", dispatcher.slots_outstanding},
                       {"connections_forced", forced(report)},
                       {"failures", report.failures}});
    static_cast<void>(parts_->log.flush(std::chrono::seconds{1}));
    const logging_stats lines = parts_->log.stats();
    report.log_lines_dropped = lines.dropped + lines.discarded;
}

logger& runtime_services::log() noexcept { return parts_->log; }
resource_pools& runtime_services::pools() const noexcept { return parts_->pools; }

runtime_params checked(runtime_params params) {
    constexpr std::uint32_t most = std::uint32_t{1} << 31U;
    if (params.partial_slots == 0 || params.partial_slots > most) {
        throw std::invalid_argument("runtime_params::partial_slots is " +
                                    std::to_string(params.partial_slots) +
                                    ", and must be between 1 and " + std::to_string(most) + ".");
    }
    return params;
}

dispatcher_params dispatcher_params_of(const runtime_params& params) {
    dispatcher_params out;
    out.name = params.name;
    out.workers = params.workers;
    out.max_subscriptions = params.max_subscriptions;
    out.max_publishers = params.max_publishers;
    out.duplicate_slots = params.duplicate_slots;
    out.guard = params.guard;
    out.on_violation = params.on_violation;
    out.memory = params.memory;
    out.failure_capacity = params.failure_capacity;
    return out;
}

}  // namespace detail

bool runtime_report::clean() const noexcept { return dispatcher.clean() && forced(*this) == 0; }

std::string runtime_report::text() const {
    std::string out =
        clean() ? "clean: everything was delivered and every slot came back" : "not clean:";
    if (!dispatcher.clean()) {
        out += dispatcher.drained ? "" : " not drained within the deadline;";
        out +=
            dispatcher.workers_gone ? "" : " a handler did not return, its worker is left behind;";
        out += " " + std::to_string(dispatcher.undelivered) + " events undelivered, " +
               std::to_string(dispatcher.undelivered_critical) + " of them critical; " +
               std::to_string(dispatcher.slots_outstanding) + " slots outstanding";
        for (const std::string& each : dispatcher.unfinished) {
            out += "; unfinished: " + each;
        }
    }
    for (const resource_shutdown_report& each : pools) {
        if (!each.clean()) {
            out += " " + each.text();
        }
    }
    return out + ". Handlers failed " + std::to_string(failures) + " times (" +
           std::to_string(failures_dropped) + " records lost), " + std::to_string(violations) +
           " violations, " + std::to_string(log_lines_dropped) + " log lines dropped.";
}

template class basic_runtime<market_event>;

}  // namespace ropeway
