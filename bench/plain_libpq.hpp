// SPDX-License-Identifier: Apache-2.0
//
// The references of the rows beside a server: libpq as its manual shows it, blocking. One thread at
// a time.
#pragma once

#include <cstdint>
#include <string>

struct pg_conn;

namespace ropeway::bench {

class plain_connection {
  public:
    /// @throws std::runtime_error with libpq's message
    explicit plain_connection(const std::string& url);
    plain_connection(const plain_connection&) = delete;
    plain_connection& operator=(const plain_connection&) = delete;
    ~plain_connection();

    /// Runs one statement; false if it failed.
    bool run(const char* sql);
    /// The number that a statement returns. @throws std::runtime_error if it returns none
    [[nodiscard]] std::int64_t number(const char* sql);

  private:
    pg_conn* connection_;
};

/// Whether the server there takes new sessions now; one short attempt, no session is made.
[[nodiscard]] bool accepts_sessions(const std::string& url);

}  // namespace ropeway::bench
