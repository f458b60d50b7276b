// SPDX-License-Identifier: Apache-2.0
//
// libpq's keywords from a url and options; host names to addresses.
#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <utility>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "connect_settings.hpp"
#include "pq.hpp"

namespace ropeway::postgres::detail {

namespace {

struct free_options {
    void operator()(PQconninfoOption* options) const noexcept { PQconninfoFree(options); }
};
using conninfo = std::unique_ptr<PQconninfoOption, free_options>;

/// libpq quotes parts of what it could not parse, and a part of a mistyped url may be a password:
/// none of it is repeated. What it quotes may hold quotes itself, so all between the first and the
/// last goes. A translated libpq quotes by characters of its own, which are not ASCII.
[[nodiscard]] std::string without_quoted(std::string_view text) {
    const auto may_quote = [](char c) { return c == '"' || static_cast<unsigned char>(c) >= 0x80; };
    const auto from = std::find_if(text.begin(), text.end(), may_quote);
    const auto to = std::find_if(text.rbegin(), std::make_reverse_iterator(from), may_quote).base();
    std::string out(text.begin(), from);
    if (from != text.end()) {
        out.append("\"***\"").append(to, text.end());
    }
    std::erase(out, '\n');
    return out;
}

[[nodiscard]] conninfo parse(const std::string& url) {
    char* error = nullptr;
    conninfo parsed(PQconninfoParse(url.c_str(), &error));
    const std::unique_ptr<char, void (*)(void*)> owned(error, PQfreemem);
    if (!parsed) {
        throw std::invalid_argument(
            "url is not one that libpq understands: " + without_quoted(or_empty(error)) +
            ". Suggestion: postgres://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for @, %2F for /, "
            "%3A for :, %25 for % in user and password");
    }
    return parsed;
}

void put(std::vector<keyword>& into, std::string_view name, std::string value) {
    const auto found = std::find_if(into.begin(), into.end(),
                                    [&](const keyword& each) { return each.name == name; });
    if (found != into.end()) {
        found->value = std::move(value);
    } else {
        into.push_back({std::string(name), std::move(value)});
    }
}

void put_default(std::vector<keyword>& into, std::string_view name, std::string value) {
    const bool given = std::any_of(into.begin(), into.end(),
                                   [&](const keyword& each) { return each.name == name; });
    if (!given) {
        into.push_back({std::string(name), std::move(value)});
    }
}

/// Where the server is, as libpq's environment variables have it: said here, it is resolved ahead
/// and named in messages as what a url says. A service has its own say, which libpq reads.
void put_environment(std::vector<keyword>& into) {
    if (std::any_of(into.begin(), into.end(),
                    [](const keyword& each) { return each.name == "service"; })) {
        return;
    }
    const conninfo defaults(PQconndefaults());
    for (const PQconninfoOption* each = defaults.get(); each != nullptr && each->keyword != nullptr;
         ++each) {
        const std::string_view name = each->keyword;
        if ((name == "host" || name == "hostaddr" || name == "port") && each->val != nullptr) {
            put_default(into, name, each->val);
        }
    }
}

[[nodiscard]] std::string* find(std::vector<keyword>& in, std::string_view name) noexcept {
    for (keyword& each : in) {
        if (each.name == name) {
            return &each.value;
        }
    }
    return nullptr;
}

[[nodiscard]] std::vector<std::string> split(std::string_view list) {
    std::vector<std::string> parts;
    std::size_t from = 0;
    for (;;) {
        const std::size_t comma = list.find(',', from);
        parts.emplace_back(list.substr(from, comma - from));
        if (comma == list.npos) {
            return parts;
        }
        from = comma + 1;
    }
}

void check_hosts(const std::string& hosts) {
    if (hosts.find('@') == hosts.npos || hosts.starts_with('@')) {
        return;
    }
    throw std::invalid_argument(
        "url names a host with @ in it: the password holds an @. Suggestion: write %40 for it");
}

void check_ports(const std::string& ports) {
    for (const std::string& port : split(ports)) {
        const bool digits =
            std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
        const long number = digits && port.size() <= 5 && !port.empty() ? std::stol(port) : 0;
        if (!port.empty() && (number < 1 || number > 65'535)) {
            throw std::invalid_argument(
                "port must be between 1 and 65535, which what stands in its place is not. "
                "Suggestion: postgres://USER:PASSWORD@HOST:5432/DATABASE");
        }
    }
}

/// The addresses of a name, in the resolver's order; empty if it has none just now.
[[nodiscard]] std::vector<std::string> addresses_of(const std::string& host) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_family = AF_UNSPEC;
    addrinfo* list = nullptr;
    if (getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) {
        return {};
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(list, freeaddrinfo);
    std::vector<std::string> addresses;
    for (const addrinfo* each = list; each != nullptr; each = each->ai_next) {
        std::array<char, NI_MAXHOST> text{};
        if (getnameinfo(each->ai_addr, each->ai_addrlen, text.data(), text.size(), nullptr, 0,
                        NI_NUMERICHOST) == 0) {
            addresses.emplace_back(text.data());
        }
    }
    return addresses;
}

[[nodiscard]] bool needs_no_resolver(const std::string& host) noexcept {
    in6_addr room{};
    return host.empty() || host.front() == '/' || host.front() == '@' ||
           inet_pton(AF_INET, host.c_str(), &room) == 1 ||
           inet_pton(AF_INET6, host.c_str(), &room) == 1;
}

[[nodiscard]] std::string join(const std::vector<std::string>& parts) {
    std::string list;
    for (const std::string& part : parts) {
        list += (&part == parts.data() ? "" : ",") + part;
    }
    return list;
}

}  // namespace

std::vector<keyword> keywords_of(const postgres_params& params) {
    std::vector<keyword> keywords;
    const conninfo parsed = parse(params.url);
    for (const PQconninfoOption* each = parsed.get(); each->keyword != nullptr; ++each) {
        if (each->val != nullptr) {
            put(keywords, each->keyword, each->val);
        }
    }
    for (const auto& [name, value] : params.options) {
        const PQconninfoOption* known = parsed.get();
        while (known->keyword != nullptr && name != known->keyword) {
            ++known;
        }
        if (known->keyword == nullptr) {
            throw std::invalid_argument("options holds '" + name +
                                        "', which is no keyword of libpq. Suggestion: one of its "
                                        "documentation, such as sslmode or sslrootcert");
        }
        put(keywords, name, value);
    }
    put_environment(keywords);
    if (const std::string* host = find(keywords, "host")) {
        check_hosts(*host);
    }
    if (const std::string* port = find(keywords, "port")) {
        check_ports(*port);
    }
    put_default(keywords, "application_name", params.application_name);
    put_default(keywords, "client_encoding", "UTF8");
    put_default(keywords, "keepalives", "1");
    put_default(keywords, "keepalives_idle", std::to_string(params.keepalive_idle.count()));
    put_default(keywords, "keepalives_interval", std::to_string(params.keepalive_interval.count()));
    put_default(keywords, "keepalives_count", std::to_string(params.keepalive_count));
    put_default(keywords, "tcp_user_timeout", std::to_string(params.tcp_user_timeout.count()));
    // GSSAPI asks a name server and a ticket server in the middle of a connect, and waits for them.
    put_default(keywords, "gssencmode", "disable");
    return keywords;
}

void resolve_hosts(std::vector<keyword>& keywords) {
    const std::string* host = find(keywords, "host");
    if (host == nullptr || find(keywords, "hostaddr") != nullptr) {
        return;
    }
    const std::vector<std::string> names = split(*host);
    const std::string* port = find(keywords, "port");
    std::vector<std::string> ports = port == nullptr ? std::vector<std::string>{""} : split(*port);
    if (ports.size() == 1) {
        ports.resize(names.size(), ports.front());
    }
    if (ports.size() != names.size() ||
        std::all_of(names.begin(), names.end(), needs_no_resolver)) {
        return;
    }
    std::vector<std::string> hosts_out;
    std::vector<std::string> addresses_out;
    std::vector<std::string> ports_out;
    for (std::size_t at = 0; at < names.size(); ++at) {
        std::vector<std::string> addresses{""};
        if (!needs_no_resolver(names[at])) {
            addresses = addresses_of(names[at]);
        }
        if (addresses.empty()) {
            addresses.emplace_back("");  // left to libpq
        }
        for (std::string& address : addresses) {
            hosts_out.push_back(names[at]);
            addresses_out.push_back(std::move(address));
            ports_out.push_back(ports[at]);
        }
    }
    put(keywords, "host", join(hosts_out));
    put(keywords, "hostaddr", join(addresses_out));
    if (port != nullptr) {
        put(keywords, "port", join(ports_out));
    }
}

std::vector<keyword> turned(std::vector<keyword> keywords, std::uint32_t places) {
    for (const std::string_view name : {"host", "hostaddr", "port"}) {
        if (std::string* const list = find(keywords, name)) {
            // A single port goes with each host, and stays as it is.
            std::vector<std::string> parts = split(*list);
            std::rotate(parts.begin(),
                        parts.begin() + static_cast<std::ptrdiff_t>(places % parts.size()),
                        parts.end());
            *list = join(parts);
        }
    }
    return keywords;
}

}  // namespace ropeway::postgres::detail
