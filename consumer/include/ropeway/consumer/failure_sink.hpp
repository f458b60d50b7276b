// SPDX-License-Identifier: Apache-2.0
//
// Where a wrapped consumer puts the record of a handler that threw. The dispatcher's failure queue
// is one; tests bring their own.
#pragma once

#include <ropeway/consumer/failure.hpp>

namespace ropeway {

/// Takes failure records off a worker. Thread safety: push is called from every worker at once.
class failure_sink {
  public:
    failure_sink() = default;
    failure_sink(const failure_sink&) = delete;
    failure_sink& operator=(const failure_sink&) = delete;

    /// Copies the record. Must not block for long, format or log. Returns false, after counting
    /// it, when the record could not be kept.
    virtual bool push(const failure_record& record) noexcept = 0;

  protected:
    ~failure_sink() = default;
};

}  // namespace ropeway
