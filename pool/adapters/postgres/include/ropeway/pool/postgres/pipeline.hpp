// SPDX-License-Identifier: Apache-2.0
//
// pipeline: many executions of a statement without a round trip each; one Sync per batch. Thirty
// times the rate of single inserts.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <span>
#include <string_view>

#include <ropeway/pool/postgres/connection.hpp>

namespace ropeway::postgres {

struct pipeline_params {
    /// Rows per Sync, 1..100'000. Outside a transaction each batch commits by itself: all of its
    /// rows, or none.
    std::uint32_t batch = 100;
    /// Batches sent and not yet answered, 1..1000: what bounds memory on both sides.
    std::uint32_t in_flight = 4;
    /// From the construction to the end of finish(); zero: the connection's command_timeout;
    /// negative: it has passed.
    std::chrono::nanoseconds timeout{};
};

struct pipeline_report {
    std::uint64_t rows = 0;     ///< given to add()
    std::uint64_t done = 0;     ///< executed in batches that succeeded
    std::uint64_t changed = 0;  ///< rows those changed, as the server counts them
    std::uint64_t refused = 0;  ///< in batches that failed: of those the server keeps nothing
    std::uint64_t unknown = 0;  ///< unanswered when the connection ended or time was over
    static constexpr std::uint64_t no_row = ~std::uint64_t{0};
    std::uint64_t first_failed_row = no_row;  ///< from 0, in the order of add(); or no_row
    /// Of that row, or of the connection; names the row. `commit_unknown` if the connection ended
    /// and rows that are `unknown` may have been committed: outside a transaction, or with a COMMIT
    /// among the statements.
    resource_error error{};
    [[nodiscard]] explicit operator bool() const noexcept { return !error; }
};

/// Ownership: borrows its connection, which must outlive it, and is used by nobody else until
/// finish(). One thread at a time. A pipeline destroyed unfinished leaves its connection doomed if
/// answers are owed to it. Allocation: libpq's buffers; nothing per row of its own beyond one
/// entry per batch in flight.
class [[nodiscard]] pipeline {
  public:
    explicit pipeline(connection& on, const pipeline_params& params = {});
    pipeline(const pipeline&) = delete;
    pipeline& operator=(const pipeline&) = delete;
    ~pipeline();

    /// Executes a prepared statement. Waits only where in_flight batches are unanswered, or the
    /// socket is full. @return false once anything failed: call finish()
    bool add(std::string_view statement, std::span<const parameter> values);
    bool add(std::string_view statement, std::initializer_list<parameter> values) {
        return add(statement, std::span(values.begin(), values.size()));
    }
    /// The same with a statement's text, parsed each time.
    bool add_sql(std::string_view sql, std::span<const parameter> values);
    bool add_sql(std::string_view sql, std::initializer_list<parameter> values) {
        return add_sql(sql, std::span(values.begin(), values.size()));
    }
    /// Sends the last batch, waits for all answers, leaves pipeline mode. Further calls: the same.
    const pipeline_report& finish();

  private:
    /// A batch in flight: its first row, how many, how many are answered.
    struct batch {
        std::uint64_t first = 0;
        std::uint64_t rows = 0;
        std::uint64_t answered = 0;
        std::uint64_t changed = 0;
        bool failed = false;
    };
    /// False, and the row has failed, if libpq would cut what is to be sent.
    bool is_whole(std::string_view text, std::span<const parameter> values);
    bool send(const char* name, const char* sql, std::span<const parameter> values);
    bool sync();
    bool read(std::size_t unanswered);
    void take_answers();
    void take_row(void* answer);
    void take_sync();
    void fail(resource_error why);
    void leave();

    connection* connection_;
    pipeline_params params_;
    std::chrono::steady_clock::time_point end_;
    std::deque<batch> batches_{};
    batch filling_{};
    pipeline_report report_{};
    bool in_transaction_ = false;  ///< when the pipeline began
    bool may_commit_ = false;      ///< a statement given so far may commit something
    bool finished_ = false;
    bool lost_ = false;
};

}  // namespace ropeway::postgres
