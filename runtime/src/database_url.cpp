// SPDX-License-Identifier: Apache-2.0
//
// Takes a database's URL apart as libpq does, to refuse it early and to show it without passwords.
#include <ropeway/runtime/database_url.hpp>

#include <algorithm>
#include <charconv>
#include <optional>
#include <stdexcept>
#include <utility>

namespace ropeway {
namespace {

constexpr std::string_view postgres_form = "postgres://USER:PASSWORD@HOST:PORT/DATABASE";
constexpr std::string_view sqlite_form = "sqlite:FILE, sqlite:///absolute/file or sqlite::memory:";
constexpr std::string_view hidden = "***";

/// The parts of a postgres URL; views into it. An absent part is empty.
struct url_parts {
    std::string_view scheme{};  ///< with "://"
    std::string_view user{};
    std::string_view password{};
    std::string_view hosts{};
    std::string_view path{};   ///< with "/"
    std::string_view query{};  ///< with "?"
    bool has_user = false;
    bool has_password = false;
};

/// Why a URL is refused, and what to write instead.
struct refusal {
    std::string demand;  ///< follows "must "
    std::string_view remedy;
};

std::string_view postgres_scheme(std::string_view url) noexcept {
    for (const std::string_view scheme : {"postgres://", "postgresql://"}) {
        if (url.starts_with(scheme)) {
            return url.substr(0, scheme.size());
        }
    }
    return {};
}

url_parts parts_of(std::string_view url) noexcept {
    url_parts parts;
    parts.scheme = postgres_scheme(url);
    std::string_view rest = url.substr(parts.scheme.size());
    std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
    rest.remove_prefix(authority.size());
    parts.path = rest.substr(0, rest.find('?'));
    parts.query = rest.substr(parts.path.size());
    if (const auto at = authority.find('@'); at != std::string_view::npos) {
        const std::string_view credentials = authority.substr(0, at);
        const auto colon = credentials.find(':');
        parts.has_user = true;
        parts.user = credentials.substr(0, colon);
        parts.has_password = colon != std::string_view::npos;
        if (parts.has_password) {
            parts.password = credentials.substr(colon + 1);
        }
        authority.remove_prefix(at + 1);
    }
    parts.hosts = authority;
    return parts;
}

bool is_hex(char digit) noexcept {
    return (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f') ||
           (digit >= 'A' && digit <= 'F');
}

bool percents_are_legal(std::string_view text) noexcept {
    for (std::size_t i = 0; i != text.size(); ++i) {
        if (text[i] == '%' &&
            (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2]))) {
            return false;
        }
    }
    return true;
}

bool port_is_legal(std::string_view port) noexcept {
    if (port.empty()) {
        return true;  // the default one
    }
    unsigned value = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), value);
    return error == std::errc{} && end == port.data() + port.size() && value >= 1 &&
           value <= 65'535;
}

std::optional<refusal> refusal_of_host(std::string_view host) {
    std::string_view port;
    if (host.starts_with('[')) {
        const auto end = host.find(']');
        if (end == std::string_view::npos || end == 1) {
            return refusal{"close the brackets of an IPv6 address", "Write [::1]:5432"};
        }
        port = host.substr(end + 1);
        if (!port.empty() && !port.starts_with(':')) {
            return refusal{"have a colon between an IPv6 address and its port", "Write [::1]:5432"};
        }
        port.remove_prefix(port.empty() ? 0 : 1);
    } else if (const auto colon = host.find(':'); colon != std::string_view::npos) {
        port = host.substr(colon + 1);
    }
    if (!port_is_legal(port)) {
        return refusal{"have a port from 1 to 65535 after a host's colon",
                       "Write postgres://USER:PASSWORD@HOST:PORT/DATABASE, and a : / or @ of a "
                       "password as %3A %2F or %40"};
    }
    return std::nullopt;
}

std::optional<refusal> refusal_of_query(std::string_view query) {
    if (query.size() < 2) {
        return std::nullopt;
    }
    query.remove_prefix(1);
    while (true) {
        const std::string_view pair = query.substr(0, query.find('&'));
        const auto equals = pair.find('=');
        if (equals == std::string_view::npos || equals == 0 ||
            pair.find('=', equals + 1) != std::string_view::npos) {
            return refusal{"have KEY=VALUE pairs, parted by &, after its ?",
                           "Write ?sslmode=require&application_name=NAME, and a = of a value as "
                           "%3D"};
        }
        if (pair.size() == query.size()) {
            return std::nullopt;
        }
        query.remove_prefix(pair.size() + 1);
    }
}

std::optional<refusal> refusal_of_postgres(std::string_view url) {
    if (!percents_are_legal(url)) {
        return refusal{"have two hexadecimal digits after each %",
                       "Write a % of a password as %25"};
    }
    const url_parts parts = parts_of(url);
    // Behind a password's / or ? it would pass for a path or query, and be shown.
    if (std::count(url.begin(), url.end(), '@') != (parts.has_user ? 1 : 0)) {
        return refusal{"have one @, between the password and the host",
                       "Write any other @ as %40, and a : / or ? of a password as %3A %2F or %3F"};
    }
    std::string_view hosts = parts.hosts;
    while (true) {
        const std::string_view host = hosts.substr(0, hosts.find(','));
        if (auto refused = refusal_of_host(host)) {
            return refused;
        }
        if (host.size() == hosts.size()) {
            break;
        }
        hosts.remove_prefix(host.size() + 1);
    }
    return refusal_of_query(parts.query);
}

std::optional<refusal> refusal_of_sqlite(std::string_view url) {
    const std::string_view path = url.substr(url.find(':') + 1);
    if (path.empty() || path == "//" || path == "///") {
        return refusal{"name a file", sqlite_form};
    }
    if (path.starts_with("//") && !path.starts_with("///")) {
        return refusal{"have no host after its scheme", sqlite_form};
    }
    return std::nullopt;
}

std::optional<refusal> refusal_of(std::string_view url) {
    if (url.empty()) {
        return refusal{"not be empty", "Unset DATABASE_URL for the embedded SQLite"};
    }
    if (std::any_of(url.begin(), url.end(),
                    [](char c) { return c == 0x7F || (c >= 0 && c < ' '); })) {
        return refusal{"have no control characters", "Look for a line end or tab in it"};
    }
    if (url.starts_with("sqlite:")) {
        return refusal_of_sqlite(url);
    }
    if (postgres_scheme(url).empty()) {
        return refusal{"begin with postgres://, postgresql:// or sqlite:", postgres_form};
    }
    if (url.find(' ') != std::string_view::npos) {
        return refusal{"have no spaces", "Write a space as %20"};
    }
    return refusal_of_postgres(url);
}

int hex_value(char digit) noexcept {
    return digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;
}

/// As libpq reads a keyword, and in lower case. Requires legal percents.
std::string read_key(std::string_view text) {
    std::string key;
    for (std::size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '%') {
            c = static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
            i += 2;
        }
        key += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return key;
}

/// password, sslpassword; and passwd, Password, which are nobody's keywords but mistakes that
/// people make: libpq refuses them, after we have shown the URL.
std::string masked_query(std::string_view query) {
    std::string text;
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&', 1));
        const auto equals = pair.find('=');
        const bool secret = equals != std::string_view::npos &&
                            read_key(pair.substr(0, equals)).find("passw") != std::string::npos;
        text.append(pair.substr(0, secret ? equals + 1 : pair.size()));
        text.append(secret ? hidden : std::string_view{});
        query.remove_prefix(pair.size());
    }
    return text;
}

}  // namespace

std::string_view to_string(database_kind kind) noexcept {
    switch (kind) {
        case database_kind::sqlite: return "sqlite";
        case database_kind::postgres: return "postgres";
    }
    return "unknown";
}

database_kind database_kind_of(std::string_view url) {
    if (const auto refused = refusal_of(url)) {
        std::string text = "database_url (" + masked_url(url) + ") must ";
        text.append(refused->demand).append(". Suggestion: ").append(refused->remedy);
        throw std::invalid_argument{text};
    }
    return url.starts_with("sqlite:") ? database_kind::sqlite : database_kind::postgres;
}

std::string masked_url(std::string_view url) {
    if (url.starts_with("sqlite:")) {
        return std::string{url};
    }
    std::string scheme{postgres_scheme(url)};
    if (refusal_of(url)) {
        return url.empty() ? std::string{} : scheme.append(hidden);
    }
    const url_parts parts = parts_of(url);
    std::string text = std::move(scheme);
    if (parts.has_user) {
        text.append(parts.user);
        text.append(parts.has_password ? ":" : "").append(parts.has_password ? hidden : "");
        text += '@';
    }
    text.append(parts.hosts).append(parts.path);
    return text += masked_query(parts.query);
}

}  // namespace ropeway
