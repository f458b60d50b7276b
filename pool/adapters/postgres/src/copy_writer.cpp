// SPDX-License-Identifier: Apache-2.0
//
// Rows of a COPY as text or as the binary format, in blocks.
#include <ropeway/pool/postgres/copy_writer.hpp>

#include <bit>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include <poll.h>

#include "connection_parts.hpp"

namespace ropeway::postgres {

namespace {

// The binary format begins with these 11 bytes, four of flags and four of an extension's length.
constexpr std::string_view binary_header{"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19};
constexpr std::string_view binary_trailer{"\377\377", 2};

template <class Number>
void append_big_endian(std::string& to, Number number) {
    using bits_type = std::make_unsigned_t<Number>;
    const auto bits = static_cast<bits_type>(number);
    for (std::size_t byte = sizeof bits; byte > 0; --byte) {
        to += static_cast<char>(static_cast<unsigned char>(bits >> (8 * (byte - 1))));
    }
}

void append_escaped(std::string& to, std::string_view text) {
    for (const char c : text) {
        switch (c) {
            case '\\': to += "\\\\"; break;
            case '\t': to += "\\t"; break;
            case '\n': to += "\\n"; break;
            case '\r': to += "\\r"; break;
            default: to += c;
        }
    }
}

void append_hex(std::string& to, const parameter::bytes& data) {
    constexpr std::string_view hex = "0123456789abcdef";
    to += "\\\\x";
    for (const std::byte each : data) {
        const auto value = std::to_integer<unsigned>(each);
        to += hex[value / 16];
        to += hex[value % 16];
    }
}

[[nodiscard]] std::string copy_statement(const copy_params& params) {
    std::string sql = "COPY " + params.table;
    for (std::size_t at = 0; at < params.columns.size(); ++at) {
        sql += (at == 0 ? " (" : ", ") + params.columns[at];
    }
    sql += params.columns.empty() ? "" : ")";
    return sql + " FROM STDIN (FORMAT " +
           (params.format == copy_format::binary ? "binary)" : "text)");
}

}  // namespace

copy_writer::copy_writer(connection& on, copy_params params)
    : connection_(&on), params_(std::move(params)), end_(on.parts_->end_of(params_.timeout)) {
    connection::parts& in = *on.parts_;
    if (params_.buffer_bytes < 1024 || params_.buffer_bytes > (std::size_t{16} << 20U)) {
        fail({resource_error_kind::invalid,
              {},
              "buffer_bytes (" + std::to_string(params_.buffer_bytes) +
                  ") must be between 1024 and 16777216"});
        return;
    }
    if (auto refused = in.ready_for_command(end_)) {
        fail(*std::move(refused));
        return;
    }
    in_transaction_ = on.in_transaction();
    if (PQsendQuery(in.session(), copy_statement(params_).c_str()) == 0) {
        fail(in.send_failed().error());
        return;
    }
    on.count_use();
    if (in.wait_for_result(end_) == wait_end::time_over) {
        fail(in.give_up(end_));
        return;
    }
    const detail::pq_result answer(PQgetResult(in.session()));
    if (PQresultStatus(answer.get()) == PGRES_COPY_IN) {
        open_ = true;
        if (params_.format == copy_format::binary) {
            buffer_ = binary_header;
        }
        return;
    }
    fail(in.error_of(answer.get()));
    static_cast<void>(in.finish_command(end_, false));
}

copy_writer::~copy_writer() = default;

void copy_writer::fail(resource_error why) {
    open_ = false;
    if (!error_) {
        error_ = std::move(why);
    }
}

bool copy_writer::row(std::span<const parameter> values) {
    if (!open_) {
        return false;
    }
    if (params_.format == copy_format::binary) {
        append_big_endian(buffer_, static_cast<std::int16_t>(values.size()));
        for (const parameter& value : values) {
            append_binary(value);
        }
    } else {
        for (const parameter& value : values) {
            if (&value != values.data()) {
                buffer_ += '\t';
            }
            append_text(value);
        }
        buffer_ += '\n';
    }
    ++rows_;
    return buffer_.size() < params_.buffer_bytes || flush();
}

void copy_writer::append_text(const parameter& value) {
    if (value.is_null()) {
        buffer_ += "\\N";
    } else if (const auto* data = std::get_if<parameter::bytes>(&value.value())) {
        append_hex(buffer_, *data);
    } else if (const auto* text = std::get_if<std::string>(&value.value())) {
        append_escaped(buffer_, *text);
    } else {
        detail::number_room room;
        buffer_ += detail::as_text(value, room);
    }
}

void copy_writer::append_binary(const parameter& value) {
    std::visit(
        [this](const auto& held) {
            using held_type = std::remove_cvref_t<decltype(held)>;
            if constexpr (std::is_same_v<held_type, std::monostate>) {
                append_big_endian(buffer_, std::int32_t{-1});
            } else if constexpr (std::is_same_v<held_type, bool>) {
                append_big_endian(buffer_, std::int32_t{1});
                buffer_ += static_cast<char>(held ? 1 : 0);
            } else if constexpr (std::is_same_v<held_type, double>) {
                append_big_endian(buffer_, std::int32_t{8});
                append_big_endian(buffer_, std::bit_cast<std::int64_t>(held));
            } else if constexpr (std::is_integral_v<held_type>) {
                append_big_endian(buffer_, static_cast<std::int32_t>(sizeof held));
                append_big_endian(buffer_, held);
            } else {
                append_big_endian(buffer_, static_cast<std::int32_t>(held.size()));
                buffer_.append(reinterpret_cast<const char*>(held.data()), held.size());
            }
        },
        value.value());
}

bool copy_writer::hear() {
    PGconn* const session = connection_->parts_->session();
    pollfd look{PQsocket(session), POLLIN | POLLRDHUP, 0};
    // A dead connection has no socket to poll; libpq takes data for it and throws them away.
    const bool alive = PQstatus(session) == CONNECTION_OK &&
                       (::poll(&look, 1, 0) <= 0 || PQconsumeInput(session) == 1);
    if (!alive) {
        // Not all was sent, so nothing can have been kept: only the words are collected.
        static_cast<void>(end("the connection ended"));
        return false;
    }
    // Delivers notices. A refusal cannot be told from them before the end: libpq keeps it until
    // then, and the server skips the rest of a COPY that has failed.
    PQisBusy(session);
    return true;
}

bool copy_writer::flush() {
    connection::parts& in = *connection_->parts_;
    if (!hear()) {
        return false;
    }
    std::string_view rest = buffer_;
    // libpq queues a block as a whole, so smaller ones keep its buffer small when the socket is
    // full.
    constexpr std::size_t block = 65'536;
    while (!rest.empty()) {
        const std::string_view part = rest.substr(0, block);
        const int put = PQputCopyData(in.session(), part.data(), static_cast<int>(part.size()));
        if (put < 0) {
            in.doomed = true;
            fail(in.connection_error());
            return false;
        }
        if (put == 1) {
            rest.remove_prefix(part.size());
        }
        while (PQflush(in.session()) == 1) {
            switch (in.wait_once(end_, true)) {
                case wait_end::ready: break;
                case wait_end::time_over: fail(in.give_up(end_)); return false;
                // As in hear().
                case wait_end::lost: static_cast<void>(end("the connection ended")); return false;
            }
        }
    }
    buffer_.clear();
    return hear();
}

result copy_writer::end(const char* refusal) {
    connection::parts& in = *connection_->parts_;
    open_ = false;
    for (;;) {
        const int ended = PQputCopyEnd(in.session(), refusal);
        if (ended == 1) {
            break;
        }
        if (ended < 0 || in.wait_once(end_, true) == wait_end::lost) {
            in.doomed = true;
            fail(in.connection_error());
            return error_;
        }
        if (command_clock::now() >= end_) {
            fail(in.give_up(end_));
            return error_;
        }
    }
    result outcome = in.finish_command(end_, refusal == nullptr && !in_transaction_);
    if (!outcome) {
        fail(outcome.error());
    }
    return outcome;
}

result copy_writer::finish() {
    if (!open_) {
        return error_ ? error_
                      : resource_error{resource_error_kind::invalid, {}, "the COPY is over"};
    }
    if (params_.format == copy_format::binary) {
        buffer_ += binary_trailer;
    }
    if (!flush()) {
        return error_;
    }
    return end(nullptr);
}

resource_error copy_writer::abort(std::string_view why) {
    if (!open_) {
        return error_;
    }
    buffer_.clear();
    const result ended = end(std::string(why).c_str());
    // The server answers with an error that repeats `why`: that is what was asked for.
    error_ = {};
    return ended.error().code_text() == "57014" ? resource_error{} : ended.error();
}

}  // namespace ropeway::postgres
