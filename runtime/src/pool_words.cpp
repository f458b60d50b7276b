// SPDX-License-Identifier: Apache-2.0
#include "pool_words.hpp"

#include <array>
#include <cstdio>

#include <ropeway/pool/site.hpp>
#include <ropeway/pool/thread_number.hpp>

namespace ropeway::detail {
namespace {

std::string connection(const resource_event& event) {
    return "Connection " + std::to_string(event.resource);
}

std::string held_by(const resource_event& event) {
    return "held for " + seconds_text(event.lasted) + "s, acquired at " +
           std::string{site_text(event.site)} + " by " + thread_text(event.thread);
}

/// ": the cause", or nothing.
std::string because(const resource_event& event) {
    if (event.error == nullptr || !*event.error) {
        return {};
    }
    std::string out = ": ";
    out += event.error->text.empty() ? to_string(event.error->kind)
                                     : std::string_view{event.error->text};
    return out;
}

std::string closed_text(const resource_event& event) {
    const std::string age = " after " + seconds_text(event.lasted) + "s";
    switch (event.reason) {
        case close_reason::uses: return connection(event) + " recycled: query limit" + age;
        case close_reason::age: return connection(event) + " recycled: lifetime" + age;
        case close_reason::idle: return connection(event) + " recycled: idle timeout" + age;
        default: break;
    }
    return connection(event) + " closed: " + std::string{to_string(event.reason)} + age +
           because(event);
}

template <class State>
std::string change_text(const char* what, State from, State to) {
    return std::string{what} + std::string{to_string(from)} + " -> " + std::string{to_string(to)};
}

/// Events of the pool as a whole; empty for those of one connection.
std::string pool_message(const resource_event& event, const pool_sizes& sizes) {
    const std::string count = std::to_string(event.count);
    const std::string limit = std::to_string(event.limit);
    switch (event.kind) {
        case resource_event_kind::started:
            return "Connection pool initialized: min_size=" + std::to_string(sizes.min_size) +
                   ", max_size=" + std::to_string(sizes.max_size);
        case resource_event_kind::start_failed:
            return "Connection pool could not be initialized" + because(event);
        case resource_event_kind::lost:
            return "Database connectivity lost, entering reconnection mode";
        case resource_event_kind::retry:
            return "Reconnection attempt " + count + " after " + seconds_text(event.lasted) +
                   "s delay";
        case resource_event_kind::recovered:
            return "Connection pool recovered: " + count + "/" + limit + " connections available";
        case resource_event_kind::state_changed:
            return change_text("Connection pool state: ", event.from_state, event.to_state);
        case resource_event_kind::liveness_changed:
            return change_text("Connection pool liveness: ", event.from_liveness,
                               event.to_liveness);
        case resource_event_kind::shrunk:
            return "Pool shrunk from " + limit + " to " + count +
                   " connections due to idle timeout";
        case resource_event_kind::leaks_recent:
            return "Connection pool health degraded: " + count +
                   " potential leaks detected in last 60s";
        case resource_event_kind::resized:
            return "Connection pool resized: max_size from " + limit + " to " + count;
        case resource_event_kind::suspended: return "Connection pool suspended";
        case resource_event_kind::resumed: return "Connection pool resumed";
        case resource_event_kind::shutdown_begun:
            return "Connection pool shutting down: waiting for " + count + " connections in use";
        case resource_event_kind::shutdown_done:
            return "Connection pool terminated after " + seconds_text(event.lasted) + "s, " +
                   count + " connections forced";
        default: return {};
    }
}

log_level level_of_closed(close_reason reason) noexcept {
    switch (reason) {
        case close_reason::uses:
        case close_reason::age:
        case close_reason::idle:
        case close_reason::evicted:
        case close_reason::hook: return log_level::info;
        case close_reason::shutdown: return log_level::debug;
        case close_reason::violation: return log_level::error;
        case close_reason::failed_check:
        case close_reason::failed_probe:
        case close_reason::failed_reset:
        case close_reason::failed_open:
        case close_reason::broken:
        case close_reason::forced: break;
    }
    return log_level::warning;
}

}  // namespace

log_level level_of(const resource_event& event) noexcept {
    switch (event.kind) {
        case resource_event_kind::lost:
        case resource_event_kind::start_failed: return log_level::error;
        case resource_event_kind::open_failed:
        case resource_event_kind::check_failed:
        case resource_event_kind::acquire_failed:
        case resource_event_kind::retry:
        case resource_event_kind::leak:
        case resource_event_kind::leaks_recent:
        case resource_event_kind::quarantined:
        case resource_event_kind::shutdown_forced: return log_level::warning;
        case resource_event_kind::opened:
        case resource_event_kind::acquired:
        case resource_event_kind::released: return log_level::debug;
        case resource_event_kind::closed: return level_of_closed(event.reason);
        case resource_event_kind::shutdown_done:
            return event.count == 0 ? log_level::info : log_level::warning;
        default: return log_level::info;
    }
}

std::string message_of(const resource_event& event, const pool_sizes& sizes) {
    switch (event.kind) {
        case resource_event_kind::opened:
            return connection(event) + " opened in " + seconds_text(event.lasted) + "s";
        case resource_event_kind::open_failed:
            return "Connection could not be opened (try " + std::to_string(event.count) + ")" +
                   because(event);
        case resource_event_kind::acquired:
            return connection(event) + " acquired after " + seconds_text(event.lasted) + "s";
        case resource_event_kind::released:
            return connection(event) + " released after " + seconds_text(event.lasted) + "s";
        case resource_event_kind::acquire_failed:
            return "No connection after " + seconds_text(event.lasted) + "s, " +
                   std::to_string(event.count) + " times so far" + because(event);
        case resource_event_kind::check_failed:
            return connection(event) + " failed its check" + because(event);
        case resource_event_kind::closed: return closed_text(event);
        case resource_event_kind::leak:
            return "Potential connection leak detected: connection " +
                   std::to_string(event.resource) + " " + held_by(event);
        case resource_event_kind::leak_returned:
            return connection(event) + " returned after all, held for " +
                   seconds_text(event.lasted) + "s";
        case resource_event_kind::quarantined:
            return connection(event) + " quarantined" + because(event);
        case resource_event_kind::quarantine_over: return connection(event) + " leaves quarantine";
        case resource_event_kind::shutdown_forced:
            return connection(event) + " force-closed at shutdown: " + held_by(event);
        default: return pool_message(event, sizes);
    }
}

std::string seconds_text(std::chrono::nanoseconds time) {
    std::array<char, 48> digits{};
    const double seconds = std::chrono::duration<double>{time}.count();
    const int length = std::snprintf(digits.data(), digits.size(), "%.3f", seconds);
    std::string out{digits.data(), static_cast<std::size_t>(length)};
    out.erase(out.find_last_not_of('0') + 1);
    if (out.back() == '.') {
        out.pop_back();
    }
    return out;
}

}  // namespace ropeway::detail
