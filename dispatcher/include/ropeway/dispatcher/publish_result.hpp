// SPDX-License-Identifier: Apache-2.0
//
// How a publish ended. A plain value.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ropeway {

enum class publish_status : std::uint8_t {
    sent,           ///< committed; the slot is the publisher's again
    no_subscriber,  ///< nobody wants this kind: recycled at once (alarmed for critical kinds)
    full,           ///< a subscription held the ring until the deadline; the claim is still yours
    backlog_full,   ///< a critical event, and a stuck subscription's backlog had no room until the
                    ///< deadline: nobody got it; the claim is still yours
    would_block,    ///< inside a handler publish never waits; the claim is still yours
    stopped,        ///< the dispatcher stops or has stopped; the claim is still yours
    halted,         ///< this publisher was halted; the claim is still yours
    cancelled,      ///< publish_and_wait: cancelled before it was sent; the claim is still yours
    misuse,         ///< empty claim, another publisher's claim or two threads at once; reported
};

/// The words used in messages.
[[nodiscard]] constexpr std::string_view to_string(publish_status status) noexcept {
    switch (status) {
        case publish_status::sent: return "sent";
        case publish_status::no_subscriber: return "no subscriber";
        case publish_status::full: return "full";
        case publish_status::backlog_full: return "backlog full";
        case publish_status::would_block: return "would block";
        case publish_status::stopped: return "stopped";
        case publish_status::halted: return "halted";
        case publish_status::cancelled: return "cancelled";
        case publish_status::misuse: return "misuse";
    }
    return "unknown";
}

/// The outcome of one publish. True when the event was taken (sent, or wanted by nobody).
struct publish_result {
    publish_status status = publish_status::misuse;
    /// Given at publish, dense per publisher from 1; 0 unless sent.
    std::uint64_t sequence = 0;
    /// The subscription that held the ring, for `full`, `backlog_full` and `would_block`.
    std::string_view held_by{};
    /// How long this call waited for it.
    std::chrono::nanoseconds waited{};
    /// Events that were sent: of a packet, without those that nobody wants; 1 or 0 for publish.
    std::uint32_t count = 0;

    [[nodiscard]] explicit operator bool() const noexcept {
        return status == publish_status::sent || status == publish_status::no_subscriber;
    }
};

/// What became of one event at one consumer.
enum class delivery_outcome : std::uint8_t {
    pending,    ///< not known yet when the wait ended
    delivered,  ///< the handler returned
    filtered,   ///< stale market data: the handler was not called
    failed,     ///< the handler threw
    unwanted,   ///< the subscription does not want it
    cancelled,  ///< market data that was cancelled before its handler began
    dropped,    ///< the subscription ended, or was disconnected, before
};

/// The words used in messages.
[[nodiscard]] constexpr std::string_view to_string(delivery_outcome outcome) noexcept {
    switch (outcome) {
        case delivery_outcome::pending: return "pending";
        case delivery_outcome::delivered: return "delivered";
        case delivery_outcome::filtered: return "filtered";
        case delivery_outcome::failed: return "failed";
        case delivery_outcome::unwanted: return "unwanted";
        case delivery_outcome::cancelled: return "cancelled";
        case delivery_outcome::dropped: return "dropped";
    }
    return "unknown";
}

/// How publish_and_wait() went.
struct wait_report {
    struct consumer {
        std::string name;
        delivery_outcome outcome = delivery_outcome::pending;
    };
    publish_result published{};
    bool complete = false;              ///< no outcome is pending
    std::vector<consumer> consumers{};  ///< every subscription that lived at the commit
};

}  // namespace ropeway
