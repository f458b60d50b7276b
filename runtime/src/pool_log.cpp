// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/pool_log.hpp>

#include <algorithm>
#include <cctype>
#include <vector>

#include <ropeway/consumer/throw_site.hpp>
#include <ropeway/pool/site.hpp>
#include <ropeway/pool/thread_number.hpp>

#include "pool_words.hpp"

namespace ropeway {
namespace {

/// Where the password of "scheme://user:password@host" stands in `text` from `at` on.
struct range {
    std::size_t from = std::string_view::npos;
    std::size_t to = 0;
};

bool ends_url(char c) noexcept {
    return std::isspace(static_cast<unsigned char>(c)) != 0 || c == '"' || c == '\'' || c == '<' ||
           c == '>';
}

/// The password of the URL whose "://" ends at `at`. Its host ends the search, except that a
/// password may hold '/' and '@' where somebody forgot to escape them: what follows the first ':'
/// up to the last '@' is masked, rather too much than too little.
range url_password(std::string_view text, std::size_t at) noexcept {
    const auto end = static_cast<std::size_t>(
        std::find_if(text.begin() + static_cast<std::ptrdiff_t>(at), text.end(), ends_url) -
        text.begin());
    const std::size_t host = text.substr(0, end).rfind('@');
    const std::size_t colon = text.find(':', at);
    if (host == std::string_view::npos || host < at || colon >= host) {
        return {};
    }
    return {colon + 1, host};
}

/// The value that begins at `at`: quoted, or up to a space or separator.
std::size_t value_end(std::string_view text, std::size_t at) noexcept {
    if (at < text.size() && (text[at] == '\'' || text[at] == '"')) {
        const char quote = text[at];
        for (std::size_t i = at + 1; i < text.size(); ++i) {
            if (text[i] == '\\') {
                ++i;
            } else if (text[i] == quote) {
                return i + 1;
            }
        }
        return text.size();
    }
    return std::min(text.find_first_of(" \t\r\n&;,\"'", at), text.size());
}

std::string mask_urls(std::string_view text) {
    std::string out;
    std::size_t copied = 0;
    for (std::size_t at = text.find("://"); at != std::string_view::npos;
         at = text.find("://", at + 3)) {
        const range secret = url_password(text, at + 3);
        if (secret.from != std::string_view::npos && secret.from >= copied) {
            out += text.substr(copied, secret.from - copied);
            out += "***";
            copied = secret.to;
        }
    }
    out += text.substr(copied);
    return out;
}

/// Masks what follows "password=", "sslpassword=", "passwd=" and the like, in any case.
std::string mask_settings(std::string_view text) {
    std::string lower{text};
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) {
        return static_cast<char>(c < 0x80 ? std::tolower(c) : c);
    });
    std::string out;
    std::size_t copied = 0;
    for (std::size_t at = lower.find("passw"); at != std::string::npos;
         at = lower.find("passw", at + 5)) {
        std::size_t equals = lower.find_first_not_of("passwordphre", at);
        equals = std::min(lower.find_first_not_of(" \t", equals), lower.size());
        if (at < copied || equals == lower.size() || lower[equals] != '=') {
            continue;
        }
        const std::size_t value =
            std::min(lower.find_first_not_of(" \t", equals + 1), lower.size());
        out += text.substr(copied, value - copied);
        out += "***";
        copied = value_end(text, value);
    }
    out += text.substr(copied);
    return out;
}

std::string stack_text(const resource_event& event) {
    captured_stack stack;
    stack.depth = static_cast<std::uint32_t>(
        std::min<std::size_t>(event.stack_size, captured_stack::max_frames));
    for (std::uint32_t i = 0; i != stack.depth; ++i) {
        stack.frames[i] = const_cast<void*>(event.stack[i]);
    }
    return render_stack(stack);
}

/// The owners of the texts that a record's fields refer to.
struct record_texts {
    std::string error{};
    std::string thread{};
    std::string stack{};
};

double in_seconds(std::chrono::nanoseconds time) noexcept {
    return std::chrono::duration<double>{time}.count();
}

bool is_held(resource_event_kind kind) noexcept {
    return kind == resource_event_kind::leak || kind == resource_event_kind::leak_returned ||
           kind == resource_event_kind::shutdown_forced || kind == resource_event_kind::released;
}

void add_error(std::vector<log_field>& fields, const resource_error& error, record_texts& texts) {
    texts.error = without_passwords(error.text);
    fields.emplace_back("error", to_string(error.kind));
    if (!error.code_text().empty()) {
        fields.emplace_back("code", error.code_text());
    }
    fields.emplace_back("cause", texts.error);
}

std::vector<log_field> fields_of(const resource_event& event, record_texts& texts) {
    std::vector<log_field> fields;
    fields.reserve(12);
    fields.emplace_back("pool", event.pool);
    fields.emplace_back("event", to_string(event.kind));
    if (event.resource != 0) {
        fields.emplace_back("connection_id", event.resource);
    }
    if (event.count != 0) {
        fields.emplace_back("count", event.count);
    }
    if (event.lasted.count() != 0) {
        fields.emplace_back(is_held(event.kind) ? "held_duration_seconds" : "duration_seconds",
                            in_seconds(event.lasted));
    }
    if (event.kind == resource_event_kind::closed) {
        fields.emplace_back("reason", to_string(event.reason));
    }
    if (event.error != nullptr && *event.error) {
        add_error(fields, *event.error, texts);
    }
    if (event.site != 0) {
        fields.emplace_back("site", site_text(event.site));
    }
    if (event.thread != 0) {
        texts.thread = thread_text(event.thread);
        fields.emplace_back("thread", texts.thread);
    }
    if (event.stack != nullptr && event.stack_size != 0) {
        texts.stack = stack_text(event);
        fields.emplace_back("stack_trace", texts.stack);
    }
    return fields;
}

}  // namespace

pool_log::pool_log(logger& to, const resource_pool_params& params)
    : log_(&to), own_(params.observer), min_size_(params.min_size), max_size_(params.max_size) {}

void pool_log::operator()(const resource_event& event) noexcept {
    try {
        if (own_) {
            own_(event);
        }
    } catch (...) {  // the user's own affair; the record is written all the same
    }
    try {
        write(event);
    } catch (...) {
        log_->write(log_level::warning, "a pool's event was not logged: out of memory");
    }
}

void pool_log::write(const resource_event& event) {
    if (event.kind == resource_event_kind::resized) {
        max_size_ = static_cast<std::uint32_t>(event.count);
    }
    const log_level level = detail::level_of(event);
    if (!log_->enabled(level)) {
        return;
    }
    record_texts texts;
    const std::vector<log_field> fields = fields_of(event, texts);
    const std::string message =
        without_passwords(detail::message_of(event, {min_size_, max_size_}));
    if (event.kind == resource_event_kind::leak ||
        event.kind == resource_event_kind::shutdown_forced) {
        log_->write_each(level, message, fields);
    } else {
        const std::string key = std::string{event.pool} + '/' + std::string{to_string(event.kind)};
        log_->write_keyed(key, level, message, fields);
    }
}

std::string without_passwords(std::string_view text) { return mask_settings(mask_urls(text)); }

}  // namespace ropeway
