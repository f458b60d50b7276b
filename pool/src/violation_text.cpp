// SPDX-License-Identifier: Apache-2.0
//
// Violations as one paragraph for people. Pure: a value in, a string out.
#include <ropeway/pool/violation.hpp>

#include <array>
#include <cstdio>

#include <ropeway/pool/site.hpp>

namespace ropeway {

std::string_view to_string(violation_kind kind) noexcept {
    switch (kind) {
        case violation_kind::double_put: return "double put";
        case violation_kind::put_after_reuse: return "put after reuse";
        case violation_kind::write_after_put: return "write after put";
        case violation_kind::write_after_publish: return "write after publish";
        case violation_kind::stale_read: return "stale read";
        case violation_kind::foreign_pointer: return "foreign pointer";
        case violation_kind::foreign_pool: return "slot of another pool";
        case violation_kind::wrong_class: return "wrong class";
        case violation_kind::concurrent_publisher: return "concurrent publisher";
        case violation_kind::leak: return "leak";
    }
    return "unknown violation";
}

std::string_view to_string(slot_action action) noexcept {
    switch (action) {
        case slot_action::none: return "touched";
        case slot_action::acquired: return "acquired";
        case slot_action::put: return "put";
        case slot_action::lent: return "lent";
        case slot_action::handed: return "found at hand-out";
        case slot_action::read: return "read";
        case slot_action::wrote: return "written to";
        case slot_action::published: return "published";
        case slot_action::claimed: return "claimed";
    }
    return "touched";
}

namespace {

std::string_view to_string(slot_state state) noexcept {
    switch (state) {
        case slot_state::free: return "free";
        case slot_state::live: return "live";
        case slot_state::lent: return "lent";
        case slot_state::quarantined: return "quarantined";
        case slot_state::retired: return "retired";
    }
    return "unknown";
}

template <class... Values>
std::string format(const char* pattern, Values... values) {
    std::array<char, 160> text{};
    std::snprintf(text.data(), text.size(), pattern, values...);
    return text.data();
}

std::string seconds(std::uint32_t ms) { return format("%u.%03u s", ms / 1000, ms % 1000); }

std::string party(const culprit& who) {
    if (who.action == slot_action::none) {
        return "an unknown party";
    }
    std::string text{to_string(who.action)};
    text.append(" by ").append(site_text(who.site)).append(" on ").append(thread_text(who.thread));
    return text.append(" at ").append(seconds(who.at_ms));
}

std::string stack(std::string_view title, const std::array<const void*, stack_frames>& frames) {
    if (frames[0] == nullptr) {
        return {};
    }
    std::string text{title};
    for (const void* frame : frames) {
        if (frame != nullptr) {
            text += format(" %p", frame);
        }
    }
    return text.append(".");
}

}  // namespace

std::string to_string(const violation& what) {
    std::string text{to_string(what.kind)};
    text.append(": pool \"").append(what.pool.data()).append("\"");
    if (what.kind == violation_kind::leak) {
        text += format(", %zu slot(s) still out; the oldest is slot %u, ", what.count, what.index);
        return text.append(party(what.first)).append(".");
    }
    text += format(", slot %u, generation held %u, found %u ", what.index, what.generation_held,
                   what.generation_found);
    text.append("(").append(to_string(what.state_found)).append("). First: ");
    text.append(party(what.first)).append("; then: ").append(party(what.second)).append(".");
    if (what.kind == violation_kind::write_after_put ||
        what.kind == violation_kind::write_after_publish) {
        text += format(" Payload offset %zu: found %016llx, expected %016llx.", what.offset,
                       static_cast<unsigned long long>(what.found),
                       static_cast<unsigned long long>(what.expected));
    }
    for (std::uint32_t i = 0; i != what.history_size; ++i) {
        const slot_record& record = what.history[i];
        text += i == 0 ? " History: " : ", ";
        text += format("generation %u ", record.generation) +
                party({record.action, record.site, record.thread, record.at_ms});
    }
    if (what.history_size != 0) {
        text += ".";
    }
    text += stack(" Stack of the last transition:", what.first_stack);
    text += stack(" Stack of this report:", what.second_stack);
    return text;
}

}  // namespace ropeway
