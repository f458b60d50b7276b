// SPDX-License-Identifier: Apache-2.0
//
// Passwords out of texts.
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "connect_settings.hpp"

namespace ropeway::postgres {

namespace {

constexpr std::string_view mask = "***";

[[nodiscard]] bool is_space(char c) noexcept {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

[[nodiscard]] char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

[[nodiscard]] std::string lowered(std::string_view text) {
    std::string small(text);
    for (char& c : small) {
        c = lower(c);
    }
    return small;
}

/// scheme://user:PASSWORD@host. A password with unescaped @ or / in it is masked up to the last @
/// before white space or a quote, so that nothing of it stays.
void mask_urls(std::string& text) {
    for (std::size_t at = text.find("://"); at != text.npos; at = text.find("://", at + 3)) {
        const std::size_t from = at + 3;
        const std::size_t end = std::min(text.find_first_of(" \t\r\n\"'<>", from), text.size());
        const std::size_t last = text.rfind('@', end);
        const std::size_t colon = text.find(':', from);
        if (last == text.npos || last < from || last >= end || colon >= last) {
            continue;
        }
        text.replace(colon + 1, last - colon - 1, mask);
    }
}

/// The end of a value that begins at `from`: quoted, or up to white space, & or ;.
[[nodiscard]] std::size_t end_of_value(std::string_view text, std::size_t from) {
    if (from < text.size() && (text[from] == '\'' || text[from] == '"')) {
        for (std::size_t at = from + 1; at < text.size(); ++at) {
            if (text[at] == '\\') {
                ++at;
            } else if (text[at] == text[from]) {
                return at + 1;
            }
        }
        return text.size();
    }
    return std::min(text.find_first_of(" \t\r\n&;,)\"'", from), text.size());
}

/// password=..., "password": ..., PASSWORD '...', passwd=, sslpassword=, passphrase=.
void mask_pairs(std::string& text) {
    constexpr std::array<std::string_view, 3> words{"password", "passwd", "passphrase"};
    std::string small = lowered(text);
    for (const std::string_view word : words) {
        for (std::size_t at = small.find(word); at != small.npos; at = small.find(word, at)) {
            at += word.size();
            std::size_t value = at;
            while (value < small.size() && (is_space(small[value]) || small[value] == '"')) {
                ++value;
            }
            const bool pair = value < small.size() && (small[value] == '=' || small[value] == ':');
            if (pair) {
                ++value;
                while (value < small.size() && is_space(small[value])) {
                    ++value;
                }
            } else if (value >= small.size() || small[value] != '\'') {
                continue;  // a word in a sentence
            }
            const std::size_t end = end_of_value(text, value);
            text.replace(value, end - value, mask);
            small.replace(value, end - value, mask);
        }
    }
}

}  // namespace

std::string masked(std::string_view text) {
    std::string out(text);
    mask_urls(out);
    mask_pairs(out);
    return out;
}

std::string detail::masked(std::string_view text, const std::vector<std::string>& secrets) {
    std::string out(text);
    for (const std::string& secret : secrets) {
        for (std::size_t at = secret.empty() ? out.npos : out.find(secret); at != out.npos;
             at = out.find(secret, at + mask.size())) {
            out.replace(at, secret.size(), mask);
        }
    }
    return postgres::masked(out);
}

}  // namespace ropeway::postgres
