// SPDX-License-Identifier: Apache-2.0
//
// Private: the cancel key of a session that is being opened. libpq keeps it to itself and offers
// only a cancel that waits; but it writes the messages of a connect to a trace, and the key is one.
// What else the trace holds is looked at line by line and never kept. Owned by the connection while
// it connects; its thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>

#include "pq.hpp"

namespace ropeway::postgres::detail {

class key_trace {
  public:
    /// Begins to trace; without memory for it the key stays unknown.
    explicit key_trace(PGconn* pg) noexcept;
    key_trace(const key_trace&) = delete;
    key_trace& operator=(const key_trace&) = delete;
    /// The session must be alive still, or stop() must have been called.
    ~key_trace();

    /// Ends the trace.
    void stop() noexcept;
    /// The key, once the server has sent it.
    [[nodiscard]] std::optional<std::uint32_t> key() const noexcept { return key_; }

  private:
    static ssize_t write(void* self, const char* bytes, std::size_t size);
    void take(char c);

    struct close_file {
        void operator()(std::FILE* file) const noexcept { std::fclose(file); }
    };
    PGconn* pg_;
    std::unique_ptr<std::FILE, close_file> file_{};
    std::string line_{};
    std::optional<std::uint32_t> key_{};
};

}  // namespace ropeway::postgres::detail
