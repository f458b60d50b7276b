// SPDX-License-Identifier: Apache-2.0
//
// Names of failures, and which of them may go away by themselves. Pure.
#include <ropeway/pool/resource_error.hpp>

namespace ropeway {

std::string_view to_string(resource_error_kind kind) noexcept {
    switch (kind) {
        case resource_error_kind::none: return "none";
        case resource_error_kind::timeout: return "timeout";
        case resource_error_kind::unavailable: return "unavailable";
        case resource_error_kind::recovering: return "recovering";
        case resource_error_kind::authentication: return "authentication";
        case resource_error_kind::too_many: return "too many connections";
        case resource_error_kind::invalid: return "invalid";
        case resource_error_kind::transient: return "transient";
        case resource_error_kind::broken: return "broken";
        case resource_error_kind::commit_unknown: return "commit unknown";
        case resource_error_kind::canceled: return "canceled";
        case resource_error_kind::queue_full: return "queue full";
        case resource_error_kind::suspended: return "suspended";
        case resource_error_kind::closed: return "closed";
        case resource_error_kind::quarantined: return "quarantined";
    }
    return "unknown";
}

bool is_retryable(resource_error_kind kind) noexcept {
    switch (kind) {
        case resource_error_kind::timeout:
        case resource_error_kind::unavailable:
        case resource_error_kind::recovering:
        case resource_error_kind::too_many:
        case resource_error_kind::transient:
        case resource_error_kind::broken:
        case resource_error_kind::queue_full:
        case resource_error_kind::quarantined: return true;
        case resource_error_kind::none:
        case resource_error_kind::authentication:
        case resource_error_kind::invalid:
        case resource_error_kind::commit_unknown:
        case resource_error_kind::canceled:   // somebody wanted it to end
        case resource_error_kind::suspended:  // until somebody resumes the pool
        case resource_error_kind::closed: break;
    }
    return false;
}

}  // namespace ropeway
