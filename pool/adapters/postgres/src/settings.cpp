// SPDX-License-Identifier: Apache-2.0
//
// Settings: checks, and the holder that connections read. The lock they share is held for a
// pointer's copy: at each open, never per command.
#include <ropeway/pool/postgres/settings.hpp>

#include <algorithm>
#include <mutex>
#include <set>
#include <stdexcept>

#include <ropeway/pool/postgres/connection.hpp>

#include "cancel_sender.hpp"
#include "connect_settings.hpp"

namespace ropeway::postgres {

namespace {

using namespace std::chrono_literals;

[[noreturn]] void refuse(std::string_view field, const std::string& value,
                         std::string_view remedy) {
    throw std::invalid_argument(std::string(field) + " (" + value + ") " + std::string(remedy));
}

void check_range(std::string_view field, long long value, long long from, long long to,
                 std::string_view unit) {
    if (value >= from && value <= to) {
        return;
    }
    refuse(field, std::to_string(value) + std::string(unit),
           "must be between " + std::to_string(from) + " and " + std::to_string(to) +
               std::string(unit) + ". Suggestion: leave the default");
}

void check_prepared(const postgres_params& params) {
    std::set<std::string_view> names;
    for (const prepared_statement& each : params.prepared) {
        if (each.name.empty() || !names.insert(each.name).second) {
            refuse("prepared", "'" + each.name + "'",
                   "must have names that are unique and not empty. Suggestion: one name per "
                   "statement");
        }
        if (each.sql.empty()) {
            refuse("prepared", "'" + each.name + "'",
                   "has no statement. Suggestion: give its sql, or leave it out");
        }
    }
}

/// libpq would cut a text there.
void check_zero_bytes(const postgres_params& params) {
    const auto holds_one = [](const std::string& text) { return text.find('\0') != text.npos; };
    for (const prepared_statement& each : params.prepared) {
        if (holds_one(each.name) || holds_one(each.sql)) {
            refuse("prepared", "'" + each.name + "'",
                   "holds a zero byte. Suggestion: leave it out");
        }
    }
    for (const std::string& each : params.session_sql) {
        if (holds_one(each)) {
            refuse("session_sql", "'" + each + "'", "holds a zero byte. Suggestion: leave it out");
        }
    }
}

[[nodiscard]] std::string percent_encoded(std::string_view text) {
    constexpr std::string_view hex = "0123456789ABCDEF";
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
                           (byte >= 'A' && byte <= 'Z') || c == '-' || c == '.' || c == '_' ||
                           c == '~';
        if (plain) {
            out += c;
        } else {
            out += '%';
            out += hex[byte / 16];
            out += hex[byte % 16];
        }
    }
    return out;
}

[[nodiscard]] std::vector<std::string> secrets_of(const detail::connect_settings& from) {
    // Shorter ones would blot out every text they occur in by chance, and tell themselves by that.
    constexpr std::size_t shortest = 4;
    std::vector<std::string> secrets;
    for (const std::string_view name : {"password", "sslpassword"}) {
        const std::string_view value = from.value(name);
        if (value.size() >= shortest) {
            secrets.emplace_back(value);
            secrets.push_back(percent_encoded(value));
        }
    }
    return secrets;
}

[[nodiscard]] std::shared_ptr<const detail::connect_settings> make(
    postgres_params params, std::shared_ptr<detail::cancel_sender> cancels) {
    auto made = std::make_shared<detail::connect_settings>();
    made->params = checked(std::move(params));
    made->keywords = detail::keywords_of(made->params);
    const auto or_default = [&](std::string_view name, std::string_view otherwise) {
        const std::string_view value = made->value(name);
        return std::string(value.empty() ? otherwise : value);
    };
    made->target = or_default("user", "?") + "@" + or_default("host", "local") + ":" +
                   or_default("port", "5432") + "/" + or_default("dbname", or_default("user", "?"));
    made->secrets = secrets_of(*made);
    if (made->params.resolve_names) {
        detail::resolve_hosts(made->keywords);
    }
    made->cancels = std::move(cancels);
    return made;
}

}  // namespace

std::string_view detail::connect_settings::value(std::string_view name) const noexcept {
    const auto found = std::find_if(keywords.begin(), keywords.end(),
                                    [&](const keyword& each) { return each.name == name; });
    return found == keywords.end() ? std::string_view{} : std::string_view(found->value);
}

postgres_params checked(postgres_params params) {
    check_range("command_timeout", params.command_timeout.count(), 1, 3'600'000, " ms");
    check_range("cancel_timeout", params.cancel_timeout.count(), 1, 60'000, " ms");
    check_range("keepalive_idle", params.keepalive_idle.count(), 1, 86'400, " s");
    check_range("keepalive_interval", params.keepalive_interval.count(), 1, 86'400, " s");
    check_range("keepalive_count", params.keepalive_count, 1, 100, "");
    check_range("tcp_user_timeout", params.tcp_user_timeout.count(), 1, 3'600'000, " ms");
    check_prepared(params);
    check_zero_bytes(params);
    static_cast<void>(detail::keywords_of(params));
    return params;
}

struct settings::parts {
    /// Held from reading the settings to setting others, name servers included: two changes at
    /// once would undo one another. Taken before `lock`.
    std::mutex changing;
    mutable std::mutex lock;
    std::shared_ptr<const detail::connect_settings> current;  // guarded by lock

    /// Requires `changing`.
    void set(std::shared_ptr<const detail::connect_settings> made) {
        const std::lock_guard held(lock);
        current.swap(made);
    }
};

settings::settings(postgres_params params) : parts_(std::make_unique<parts>()) {
    parts_->current = make(std::move(params), std::make_shared<detail::cancel_sender>());
}

settings::~settings() = default;

std::shared_ptr<const detail::connect_settings> settings::current() const {
    const std::lock_guard held(parts_->lock);
    return parts_->current;
}

void settings::replace(postgres_params params) {
    const std::lock_guard held(parts_->changing);
    parts_->set(make(std::move(params), current()->cancels));
}

void settings::set_password(std::string password) {
    const std::lock_guard held(parts_->changing);
    postgres_params params = current()->params;
    std::erase_if(params.options, [](const auto& each) { return each.first == "password"; });
    params.options.emplace_back("password", std::move(password));
    parts_->set(make(std::move(params), current()->cancels));
}

void settings::resolve_again() {
    const std::lock_guard held(parts_->changing);
    parts_->set(make(current()->params, current()->cancels));
}

std::string settings::target() const { return current()->target; }

connection_factory make_connections(std::shared_ptr<settings> shared) {
    return [shared = std::move(shared)] { return std::make_unique<connection>(shared); };
}

connection_factory make_connections(postgres_params params) {
    return make_connections(std::make_shared<settings>(std::move(params)));
}

}  // namespace ropeway::postgres
