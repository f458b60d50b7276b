// SPDX-License-Identifier: Apache-2.0
//
// copy_writer: COPY ... FROM STDIN, the fastest way in. All rows or none.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ropeway/pool/postgres/connection.hpp>

namespace ropeway::postgres {

enum class copy_format : std::uint8_t {
    text,    ///< the server parses; any type a parameter can be written as
    binary,  ///< faster; each parameter must have exactly its column's width: int4 an int32_t...
};

struct copy_params {
    /// Table, as SQL writes it ("schema.table"); taken as it is.
    std::string table{};
    /// Columns in the order of the rows' values, as SQL writes them; empty: all.
    std::vector<std::string> columns{};
    copy_format format = copy_format::text;
    /// Bytes gathered before they go to libpq. 1 KiB..16 MiB.
    std::size_t buffer_bytes = 65'536;
    /// From the construction to the end of finish(); zero: the connection's command_timeout;
    /// negative: it has passed.
    std::chrono::nanoseconds timeout{};
};

/// Ownership: borrows its connection, which must outlive it, and is used by nobody else until
/// finish() or abort(). One thread at a time. Destroyed unfinished, nothing of it is kept by the
/// server: the pool's I/O thread ends the COPY when the lease is returned.
class [[nodiscard]] copy_writer {
  public:
    /// Begins the COPY; see error().
    copy_writer(connection& on, copy_params params);
    copy_writer(const copy_writer&) = delete;
    copy_writer& operator=(const copy_writer&) = delete;
    ~copy_writer();

    [[nodiscard]] explicit operator bool() const noexcept { return open_; }
    [[nodiscard]] const resource_error& error() const noexcept { return error_; }

    /// One row. @return false once the connection failed or the time was over, see error(). A row
    /// that the server refuses is told by finish(); what is given after it the server skips.
    bool row(std::span<const parameter> values);
    bool row(std::initializer_list<parameter> values) {
        return row(std::span(values.begin(), values.size()));
    }
    /// Rows given so far.
    [[nodiscard]] std::uint64_t rows() const noexcept { return rows_; }

    /// Ends the COPY. affected() of the result: rows the server took. If the connection ended after
    /// the end was sent and no transaction is open, the error is commit_unknown.
    result finish();
    /// Gives it up: the server keeps nothing. @return kind none if it is over and the connection is
    /// usable
    resource_error abort(std::string_view why = "given up by the program");

  private:
    void append_text(const parameter& value);
    void append_binary(const parameter& value);
    bool flush();
    /// Reads what the server says. @return false if the connection has ended
    bool hear();
    result end(const char* refusal);
    void fail(resource_error why);

    connection* connection_;
    copy_params params_;
    std::chrono::steady_clock::time_point end_;
    std::string buffer_{};
    std::uint64_t rows_ = 0;
    bool open_ = false;
    bool in_transaction_ = false;
    resource_error error_{};
};

}  // namespace ropeway::postgres
