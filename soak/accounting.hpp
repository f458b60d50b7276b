// SPDX-License-Identifier: Apache-2.0
//
// The soak's own books: what each publisher sent, what each consumer saw, and the reconciliation of
// the two with what the dispatcher says it filtered and dropped. Plain values and pure functions,
// so tests check every rule with literals.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <ropeway/consumer/stats.hpp>

#include "stamp.hpp"

namespace ropeway::soak {

/// What one publisher sent.
struct published_counts {
    kind_counts by_kind{};
    std::array<std::uint64_t, stream_classes> last{};  ///< last counter given, per class
    [[nodiscard]] std::uint64_t total() const noexcept;
};

/// One stream (publisher and class) as one consumer saw it.
struct stream_counts {
    std::uint64_t last = 0;       ///< highest counter seen
    std::uint64_t missing = 0;    ///< counters up to `last` that never came
    std::uint64_t doubled = 0;    ///< came again
    std::uint64_t reordered = 0;  ///< came after a later one
};

/// One consumer: first what its handler saw, then what the dispatcher says about it.
struct consumer_counts {
    std::string name;
    bool lossy = false;
    kind_counts done{};    ///< handler returned, by kind
    kind_counts failed{};  ///< handler threw, by kind
    std::vector<std::array<stream_counts, stream_classes>> streams{};  ///< by publisher
    std::uint64_t stale_done = 0;    ///< market handler calls begun after their version ended
    std::uint64_t told_lost = 0;     ///< sum of delivery::lost_before
    std::uint64_t told_wrong = 0;    ///< deliveries that told of losses which had not happened
    std::uint64_t corrupt = 0;       ///< checksum or stamp wrong
    std::uint64_t mislabelled = 0;   ///< delivery::sequence or ::publisher wrong
    std::uint64_t thrown_hash = 0;   ///< sum of failure_hash over own throws
    std::uint64_t records = 0;       ///< failure records that name this consumer
    std::uint64_t records_hash = 0;  ///< sum of failure_hash over them

    kind_counts filtered{};     ///< dispatcher: stale market data not delivered
    kind_counts dropped{};      ///< dispatcher: lost to overflow
    std::uint64_t starved = 0;  ///< dispatcher: lost because no duplicate was free
    std::uint64_t dispatcher_done = 0;
    std::uint64_t dispatcher_failed = 0;
};

/// The sums of the verdict, and a sentence for each rule that was broken.
struct reconciliation {
    std::uint64_t published = 0;
    std::uint64_t expected = 0;  ///< published x consumers
    std::uint64_t done = 0;
    std::uint64_t filtered = 0;
    std::uint64_t dropped = 0;
    std::uint64_t failed = 0;
    std::uint64_t lost = 0;
    std::uint64_t doubled = 0;
    std::uint64_t reordered = 0;
    std::uint64_t critical_expected = 0;
    std::uint64_t critical_done = 0;  ///< handler calls, returned or thrown, without doubled ones
    std::uint64_t critical_dropped = 0;  ///< dropped or filtered by the dispatcher
    std::uint64_t stale_done = 0;
    std::uint64_t stale_pending = 0;  ///< filtered or done though stale
    std::vector<std::string> failures{};
};

/// Every consumer wants every kind, so each publisher's events are expected once at each consumer.
/// Requires: streams of each consumer has one entry per publisher.
[[nodiscard]] reconciliation reconcile(std::span<const published_counts> publishers,
                                       std::span<const consumer_counts> consumers);

/// Stale handler entries are allowed up to the race that no test of the version can close (one for
/// each worker and flip), and beyond it below 5 % of what was stale.
[[nodiscard]] bool stale_allowed(std::uint64_t stale_done, std::uint64_t stale_pending,
                                 std::uint64_t flips, std::uint64_t workers) noexcept;

/// 1234567 as "1,234,567".
[[nodiscard]] std::string grouped(std::uint64_t value);

}  // namespace ropeway::soak
