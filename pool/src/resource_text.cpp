// SPDX-License-Identifier: Apache-2.0
//
// Failures and shutdowns of a resource pool as one paragraph for people: what happened, the
// numbers, the cause, who holds what, what to do. Pure: a value in, a string out.
#include <string>
#include <string_view>

#include <ropeway/pool/resource_stats.hpp>

#include "duration_text.hpp"

namespace ropeway {
namespace {

using detail::duration_text;

std::string named(std::string_view pool) {
    return pool.empty() ? "The pool" : "Pool \"" + std::string{pool} + "\"";
}

std::string_view what_happened(resource_error_kind kind) noexcept {
    switch (kind) {
        case resource_error_kind::none: return "no failure";
        case resource_error_kind::timeout: return "no connection before the deadline";
        case resource_error_kind::unavailable: return "no connection can be opened";
        case resource_error_kind::recovering: return "the server is starting up or shutting down";
        case resource_error_kind::authentication: return "the server refuses who we say we are";
        case resource_error_kind::too_many: return "the server has no room for another connection";
        case resource_error_kind::invalid: return "what was asked is wrong";
        case resource_error_kind::transient: return "a failure that may not happen again";
        case resource_error_kind::broken: return "the connection ended while it was in use";
        case resource_error_kind::commit_unknown: return "the connection ended during COMMIT";
        case resource_error_kind::canceled: return "canceled";
        case resource_error_kind::queue_full: return "as many callers wait as may wait";
        case resource_error_kind::suspended: return "the pool is suspended";
        case resource_error_kind::closed: return "the pool is shut down";
        case resource_error_kind::quarantined: return "every connection failed too often lately";
    }
    return "an unknown failure";
}

/// For a timeout the numbers decide what helps.
std::string_view remedy_of_timeout(const resource_snapshot& now) noexcept {
    if (now.overdue != 0) {
        return "Find the holders that are overdue: they look like leaks";
    }
    if (now.max_size != 0 && now.active >= now.max_size) {
        return "Hold leases for less time, or increase POOL_MAX_SIZE";
    }
    return "Check that the server answers, or increase POOL_TIMEOUT";
}

std::string_view remedy(resource_error_kind kind, const resource_snapshot& now) noexcept {
    switch (kind) {
        case resource_error_kind::timeout: return remedy_of_timeout(now);
        case resource_error_kind::unavailable:
            return "Check that the server runs, and the host and port in DATABASE_URL";
        case resource_error_kind::recovering: return "Wait: the pool goes on trying by itself";
        case resource_error_kind::authentication:
            return "Correct user and password in DATABASE_URL; trying again does not help";
        case resource_error_kind::too_many:
            return "Reduce POOL_MAX_SIZE, or raise the server's connection limit";
        case resource_error_kind::invalid: return "Correct it; trying again does not help";
        case resource_error_kind::transient:
        case resource_error_kind::broken: return "Do the same work again";
        case resource_error_kind::commit_unknown:
            return "Look whether the work was done before doing it again";
        case resource_error_kind::queue_full:
            return "Let fewer threads acquire at once, or increase POOL_MAX_SIZE";
        case resource_error_kind::suspended: return "Call resume()";
        case resource_error_kind::quarantined:
            return "Read the latest failure; the pool tries again after a rest";
        case resource_error_kind::closed: return "Acquire before shutdown(), or make a new pool";
        case resource_error_kind::none:
        case resource_error_kind::canceled: break;
    }
    return {};
}

std::string numbers(const resource_snapshot& now) {
    std::string text = std::to_string(now.active) + " of at most " + std::to_string(now.max_size) +
                       " connections leased, " + std::to_string(now.idle) + " idle, " +
                       std::to_string(now.opening) + " opening";
    if (now.quarantined != 0) {
        text += ", " + std::to_string(now.quarantined) + " in quarantine";
    }
    text += ", " + std::to_string(now.waiting) + " callers waiting; the pool is ";
    text.append(to_string(now.state)).append(", liveness ").append(to_string(now.liveness));
    return text.append(".");
}

std::string cause_text(const resource_error& cause, const resource_snapshot& now) {
    if (!cause) {
        return {};
    }
    std::string text = " Latest failure";
    if (now.since_error.count() >= 0) {
        text += " (" + duration_text(now.since_error) + " ago)";
    }
    text.append(": ").append(to_string(cause.kind));
    if (!cause.code_text().empty()) {
        text.append(" [").append(cause.code_text()).append("]");
    }
    if (!cause.text.empty()) {
        text.append(": ").append(cause.text);
    }
    return text.ends_with('.') ? text : text.append(".");
}

std::string holder_text(const lease_holder& holder) {
    std::string text = "connection " + std::to_string(holder.resource) + " for " +
                       duration_text(holder.held) + (holder.overdue ? " (overdue)" : "");
    if (!holder.site.empty()) {
        text += " by " + holder.site;
    }
    return holder.thread.empty() ? text : text + " on " + holder.thread;
}

std::string holders_text(std::string_view title, const std::vector<lease_holder>& holders) {
    std::string text;
    for (const lease_holder& holder : holders) {
        text.append(text.empty() ? title : "; ").append(holder_text(holder));
    }
    return text.empty() ? text : text.append(".");
}

}  // namespace

std::string pool_error::text() const {
    std::string text = named(pool).append(": ").append(to_string(kind));
    if (waited.count() > 0) {
        text += " after " + duration_text(waited);
    }
    text.append(": ").append(what_happened(kind)).append(". ").append(numbers(snapshot));
    text += cause_text(cause, snapshot);
    text += holders_text(" Leased, longest first: ", holders);
    const std::string_view advice = remedy(kind, snapshot);
    if (!advice.empty()) {
        text.append(" Suggestion: ").append(advice).append(".");
    }
    return text;
}

std::string resource_shutdown_report::text() const {
    std::string text = named(pool) + " shut down in " + duration_text(lasted) + ": " +
                       std::to_string(closed) + " connections closed, " +
                       std::to_string(forced.size()) + " forced.";
    text += holders_text(" Still held at the deadline: ", forced);
    if (!clean()) {
        text += " Suggestion: give leases back before shutdown(), or give it a longer deadline.";
    }
    return text;
}

}  // namespace ropeway
