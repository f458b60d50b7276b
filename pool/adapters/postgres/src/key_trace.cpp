// SPDX-License-Identifier: Apache-2.0
//
// The cancel key out of libpq's trace: a line "B<tab>12<tab>BackendKeyData<tab> PID KEY".
#include "key_trace.hpp"

#include <charconv>
#include <string_view>
#include <system_error>

#include <string.h>

namespace ropeway::postgres::detail {

namespace {

constexpr std::string_view wanted = "BackendKeyData";
constexpr std::size_t longest_line = 128;

[[nodiscard]] std::optional<std::uint32_t> second_number(std::string_view text) noexcept {
    std::int32_t number = 0;
    for (int which = 0; which < 2; ++which) {
        const std::size_t from = text.find_first_of("-0123456789");
        if (from == text.npos) {
            return std::nullopt;
        }
        text.remove_prefix(from);
        const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
        if (read.ec != std::errc{}) {
            return std::nullopt;
        }
        text.remove_prefix(static_cast<std::size_t>(read.ptr - text.data()));
    }
    return static_cast<std::uint32_t>(number);
}

}  // namespace

key_trace::key_trace(PGconn* pg) noexcept : pg_(pg) {
    cookie_io_functions_t io{};
    io.write = &key_trace::write;
    file_.reset(fopencookie(this, "w", io));
    if (!file_) {
        return;
    }
    // Unbuffered: no copy of what passes stays in a buffer of the stream.
    std::setvbuf(file_.get(), nullptr, _IONBF, 0);
    line_.reserve(longest_line);
    PQtrace(pg_, file_.get());
    PQsetTraceFlags(pg_, PQTRACE_SUPPRESS_TIMESTAMPS);
}

key_trace::~key_trace() { stop(); }

void key_trace::stop() noexcept {
    if (file_) {
        PQuntrace(pg_);
        file_.reset();
    }
}

ssize_t key_trace::write(void* self, const char* bytes, std::size_t size) {
    for (std::size_t at = 0; at < size; ++at) {
        static_cast<key_trace*>(self)->take(bytes[at]);
    }
    return static_cast<ssize_t>(size);
}

void key_trace::take(char c) {
    if (c != '\n') {
        if (line_.size() < longest_line) {
            line_ += c;
        }
        return;
    }
    const std::string_view line = line_;
    const std::size_t at = line.find(wanted);
    if (line.starts_with("B\t") && at != line.npos) {
        key_ = second_number(line.substr(at + wanted.size()));
    }
    explicit_bzero(line_.data(), line_.size());
    line_.clear();
}

}  // namespace ropeway::postgres::detail
