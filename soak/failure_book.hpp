// SPDX-License-Identifier: Apache-2.0
//
// Counts failure records by the consumer they name, with a sum that tells whether they speak of the
// events on which it threw. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <ropeway/consumer/failure.hpp>

#include "consumer.hpp"
#include "stamp.hpp"

namespace ropeway::soak {

class failure_book {
  public:
    struct entry {
        std::string consumer;
        std::uint64_t count = 0;
        std::uint64_t hash = 0;  ///< sum of failure_hash
    };

    void add_consumer(std::string name) { entries_.push_back({std::move(name)}); }

    void enter(const failure_record& record) {
        for (entry& each : entries_) {
            if (each.consumer == record.consumer &&
                std::string_view{record.what} == planned_throw_text) {
                ++each.count;
                each.hash += failure_hash(record.trace, record.kind, record.routing_version);
                return;
            }
        }
        ++unknown_;
    }
    /// In the order of add_consumer().
    [[nodiscard]] const entry& of(std::size_t consumer) const { return entries_.at(consumer); }
    /// Records that name no consumer, or another text than was thrown.
    [[nodiscard]] std::uint64_t unknown() const noexcept { return unknown_; }

  private:
    std::vector<entry> entries_;
    std::uint64_t unknown_ = 0;
};

}  // namespace ropeway::soak
