// SPDX-License-Identifier: Apache-2.0
//
// The pull interface of every feed: one decoded market_event per call. A feed is owned by whoever
// made it and driven by one thread, which is usually a publisher's thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include <ropeway/pool/event_kind.hpp>
#include <ropeway/pool/market_event.hpp>
#include <ropeway/runtime/feed_error.hpp>
#include <ropeway/runtime/feed_instruments.hpp>

namespace ropeway {

/// What a feed has read so far. Fields that a format does not have stay 0.
struct feed_stats {
    std::uint64_t events = 0;                              ///< handed out by next()
    std::array<std::uint64_t, max_event_kinds> by_kind{};  ///< of these, by kind
    std::uint64_t rows = 0;                                ///< CSV rows without the header
    std::uint64_t packets = 0;                             ///< pcap records decoded
    std::uint64_t packets_skipped = 0;   ///< pcap records that carry no UDP over IPv4 for us
    std::uint64_t messages = 0;          ///< application messages, those that are no event included
    std::uint64_t bids = 0;              ///< one-sided quotes of the bid
    std::uint64_t offers = 0;            ///< one-sided quotes of the offer
    std::uint64_t system_times = 0;      ///< messages that set the second; they are no event
    std::uint64_t session_messages = 0;  ///< start or end of a session; they are no event
    std::uint64_t other_messages = 0;    ///< known to the protocol, of no use here; no event
    std::uint64_t sequence_gaps = 0;     ///< places where the exchange's sequence jumps forth
    std::uint64_t messages_missing = 0;  ///< messages that these gaps swallowed
    std::uint64_t sequence_repeats = 0;  ///< messages numbered below what was expected
    std::uint64_t clock_steps_back = 0;  ///< receive stamps raised to the one before
    std::uint64_t critical_inserted = 0;  ///< synthesised by with_critical_events()
    std::int64_t first_receive_ns = 0;    ///< of the first event
    std::int64_t last_receive_ns = 0;     ///< of the latest event

    [[nodiscard]] std::uint64_t of(event_kind kind) const noexcept {
        return by_kind[static_cast<std::size_t>(kind)];
    }
};

/// A source of decoded events, in the order of their receive stamps.
///
/// Every event has kind, instrument (an id of instruments(); 0 for heartbeats), receive_ns (never
/// falling: the capture's clock, for pacing), exchange_ns where the input has it, and exchange_id.
/// Routing version, trace, publish stamp and `user` are left zero for the publishing program.
/// exchange_ns and receive_ns come from different clocks: never subtract them.
///
/// Thread safety: none; one thread at a time. Allocation: per new instrument, and a fixed number of
/// blocks; never in proportion to the input.
class feed {
  public:
    feed() = default;
    feed(const feed&) = delete;
    feed& operator=(const feed&) = delete;
    virtual ~feed() = default;

    /// Decodes the next event into `out`.
    /// @return false at the clean end, and on every later call.
    /// @throws feed_error when the input is truncated, corrupt or out of bounds; every later call
    ///         throws the same again, so that a broken input is never taken for a short one.
    [[nodiscard]] bool next(market_event& out);

    /// Counts up to the latest next(), also after it threw.
    [[nodiscard]] virtual feed_stats stats() const { return stats_; }
    [[nodiscard]] virtual const instrument_table& instruments() const noexcept = 0;
    /// What is read, for log lines: a format and a file name.
    [[nodiscard]] virtual std::string description() const = 0;

  protected:
    /// One event into a default-constructed `out`, false at the clean end, or feed_error.
    [[nodiscard]] virtual bool read(market_event& out) = 0;
    [[nodiscard]] feed_stats& counts() noexcept { return stats_; }

  private:
    feed_stats stats_;
    std::optional<feed_error> failure_;
    bool ended_ = false;
};

}  // namespace ropeway
