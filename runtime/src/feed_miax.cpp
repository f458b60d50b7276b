// SPDX-License-Identifier: Apache-2.0
//
// MIAX options Top of Market v1.9: messages out of datagrams, the exchange's second, and sequence
// numbers per channel (destination, port, session).
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "feed_bytes.hpp"
#include "feed_open.hpp"
#include "feed_pcap.hpp"
#include "feed_receive_clock.hpp"

namespace ropeway {
namespace {

constexpr std::size_t header_bytes = 12;
constexpr std::size_t most_channels = 64;
constexpr std::int64_t ns_per_second = 1'000'000'000;
constexpr std::int64_t two_decimals = price_scale / 100;
constexpr std::int64_t four_decimals = price_scale / 10'000;
constexpr const char* fetch_again = "fetch the file again";

enum class packet_type : std::uint8_t {
    heartbeat = 0,  ///< carries the latest sequence number that was used
    session_start = 1,
    session_end = 2,
    application = 3,  ///< carries one message
};

/// Lengths of the messages that become events, type character included.
constexpr std::size_t system_time_bytes = 5, compact_bytes = 16, wide_bytes = 22,
                      double_compact_bytes = 23, double_wide_bytes = 35, trade_bytes = 28;

class miax_feed final : public feed {
  public:
    miax_feed(std::unique_ptr<feed_reader> reader, const feed_params& params)
        : pcap_(std::move(reader), params), clock_(params), table_(params.max_instruments) {}

    const instrument_table& instruments() const noexcept override { return table_; }
    std::string description() const override { return "MIAX ToM pcap " + pcap_.name(); }

  protected:
    bool read(market_event& out) override {
        for (;;) {
            while (position_ < packet_.payload.size()) {
                if (read_message(out)) {
                    return true;
                }
            }
            if (!next_packet()) {
                return false;
            }
        }
    }

  private:
    struct channel {
        std::uint32_t destination = 0;
        std::uint16_t port = 0;
        std::uint8_t session = 0;
        bool numbered = false;  ///< a sequence number has been seen
        std::uint64_t next = 0;
        std::int64_t second = -1;  ///< of the exchange; -1 = not told yet
    };

    bool next_packet() {
        position_ = 0;
        packet_.payload = {};
        if (!pcap_.next(packet_, counts())) {
            if (counts().events == 0) {
                fail(feed_fault::empty, "no event in the capture",
                     std::to_string(counts().packets) + " packets",
                     "check udp_port, or fetch the file again");
            }
            return false;
        }
        packet_.receive_ns =
            clock_.accept(packet_.receive_ns, counts(), [this] { return place(); });
        return true;
    }

    /// One message; true if it is an event.
    bool read_message(market_event& out) {
        const auto rest = packet_.payload.subspan(position_);
        const std::size_t length =
            rest.size() < header_bytes ? 0 : little_endian<std::uint16_t>(rest, 8);
        if (length < header_bytes || length > rest.size()) {
            fail(feed_fault::corrupt, "a message length beyond its packet", std::to_string(length),
                 fetch_again);
        }
        const auto sequence = little_endian<std::uint64_t>(rest, 0);
        const auto type = std::to_integer<std::uint8_t>(rest[10]);
        auto& from = channel_of(std::to_integer<std::uint8_t>(rest[11]));
        const auto body = rest.subspan(header_bytes, length - header_bytes);
        bool is_event = false;
        out.receive_ns = packet_.receive_ns;
        out.exchange_id = sequence;
        switch (static_cast<packet_type>(type)) {
            case packet_type::heartbeat:
                follow_heartbeat(from, sequence);
                out.kind = event_kind::heartbeat;
                is_event = true;
                break;
            case packet_type::session_start:
            case packet_type::session_end: ++counts().session_messages; break;
            case packet_type::application:
                follow(from, sequence);
                is_event = read_application(body, from, out);
                ++counts().messages;
                break;
            default:
                fail(feed_fault::corrupt, "an unknown packet type", std::to_string(type),
                     fetch_again);
        }
        position_ += length;
        return is_event;
    }

    bool read_application(std::span<const std::byte> body, channel& from, market_event& out) {
        const char type = body.empty() ? '\0' : std::to_integer<char>(body[0]);
        switch (type) {
            case '1':
                need(body, system_time_bytes);
                set_second(from, little_endian<std::uint32_t>(body, 1));
                ++counts().system_times;
                return false;
            case 'B': read_one_sided(body, from, out, event_side::bid, false); return true;
            case 'O': read_one_sided(body, from, out, event_side::offer, false); return true;
            case 'W': read_one_sided(body, from, out, event_side::bid, true); return true;
            case 'A': read_one_sided(body, from, out, event_side::offer, true); return true;
            case 'd': read_two_sided(body, from, out, false); return true;
            case 'D': read_two_sided(body, from, out, true); return true;
            case 'T': read_trade(body, from, out); return true;
            case 'P':  // series update
            case 'S':  // system state
            case 'X':  // trade cancel
            case 'H':  // underlying trading status
                ++counts().other_messages;
                return false;
            default:
                fail(feed_fault::corrupt, "an unknown message type", std::string_view(&type, 1),
                     fetch_again);
        }
    }

    void read_one_sided(std::span<const std::byte> body, const channel& from, market_event& out,
                        event_side side, bool wide) {
        need(body, wide ? wide_bytes : compact_bytes);
        out.kind = event_kind::quote;
        read_common(body, from, out);
        const auto top = read_book_side(body.subspan(9), wide);
        out.side = side;
        out.price = top.price;
        out.quantity = top.quantity;
        out.flags = top.condition;
        ++(side == event_side::bid ? counts().bids : counts().offers);
    }

    void read_two_sided(std::span<const std::byte> body, const channel& from, market_event& out,
                        bool wide) {
        need(body, wide ? double_wide_bytes : double_compact_bytes);
        out.kind = event_kind::quote;
        read_common(body, from, out);
        const auto bid = read_book_side(body.subspan(9), wide);
        const auto offer = read_book_side(body.subspan(wide ? 22 : 16), wide);
        out.price = bid.price;
        out.quantity = bid.quantity;
        out.price2 = offer.price;
        out.quantity2 = offer.quantity;
        out.flags = bid.condition;
    }

    void read_trade(std::span<const std::byte> body, const channel& from, market_event& out) {
        need(body, trade_bytes);
        out.kind = event_kind::trade;
        read_common(body, from, out);
        out.exchange_id = little_endian<std::uint32_t>(body, 9);
        out.price = four_decimals * little_endian<std::uint32_t>(body, 19);
        out.quantity = price_scale * little_endian<std::uint32_t>(body, 23);
        out.flags = std::to_integer<std::uint16_t>(body[27]);
    }

    struct book_side {
        std::int64_t price = 0;
        std::int64_t quantity = 0;
        std::uint16_t condition = 0;
    };
    /// Price, size, size of priority customers (not kept), condition.
    static book_side read_book_side(std::span<const std::byte> at, bool wide) {
        if (wide) {
            return {four_decimals * little_endian<std::uint32_t>(at, 0),
                    price_scale * little_endian<std::uint32_t>(at, 4),
                    std::to_integer<std::uint16_t>(at[12])};
        }
        return {two_decimals * little_endian<std::uint16_t>(at, 0),
                price_scale * little_endian<std::uint16_t>(at, 2),
                std::to_integer<std::uint16_t>(at[6])};
    }

    /// Nanoseconds and product, which stand at the same place in all of them.
    void read_common(std::span<const std::byte> body, const channel& from, market_event& out) {
        const auto fraction = little_endian<std::uint32_t>(body, 1);
        if (fraction >= ns_per_second) {
            fail(feed_fault::corrupt, "nanoseconds above one second", std::to_string(fraction),
                 fetch_again);
        }
        out.exchange_ns = exchange_stamp(from, fraction);
        out.instrument = instrument(little_endian<std::uint32_t>(body, 5));
    }

    /// Before the exchange told its second, the one nearest to the capture's clock.
    [[nodiscard]] std::int64_t exchange_stamp(const channel& from, std::int64_t fraction) const {
        if (from.second >= 0) {
            return from.second * ns_per_second + fraction;
        }
        const auto second = packet_.receive_ns / ns_per_second * ns_per_second;
        const auto ahead = second + fraction - packet_.receive_ns;
        if (ahead > ns_per_second / 2 && second > 0) {
            return second + fraction - ns_per_second;
        }
        return ahead < -ns_per_second / 2 ? second + fraction + ns_per_second : second + fraction;
    }

    void set_second(channel& from, std::int64_t second) {
        constexpr std::int64_t day = 24 * 3600;
        const auto captured = packet_.receive_ns / ns_per_second;
        if (second > captured + day || second < captured - day) {
            fail(feed_fault::bad_value, "a system time more than a day from the capture's clock",
                 std::to_string(second), fetch_again);
        }
        from.second = second;
    }

    std::uint32_t instrument(std::uint32_t product) {
        auto& id = ids_[product];
        if (id == 0) {
            id = table_.id_of(std::to_string(product));
        }
        if (id == 0) {
            ids_.erase(product);
            fail(feed_fault::too_many_instruments,
                 "more than " + std::to_string(table_.max_size()) + " instruments",
                 std::to_string(product), "raise max_instruments if the file is right");
        }
        return id;
    }

    channel& channel_of(std::uint8_t session) {
        for (auto& known : channels_) {
            if (known.session == session && known.port == packet_.port &&
                known.destination == packet_.destination) {
                return known;
            }
        }
        if (channels_.size() == most_channels) {
            fail(feed_fault::unsupported, "more than 64 channels in one capture",
                 std::to_string(packet_.port), "filter the capture by udp_port");
        }
        channels_.push_back({packet_.destination, packet_.port, session});
        return channels_.back();
    }

    void follow(channel& from, std::uint64_t sequence) {
        if (from.numbered && sequence < from.next) {
            ++counts().sequence_repeats;
            return;
        }
        note_gap(from, sequence);
        from.next = sequence + 1;
    }

    /// It carries the latest number used: with the next one beyond what is expected, some are lost.
    void follow_heartbeat(channel& from, std::uint64_t sequence) {
        if (from.numbered && sequence + 1 <= from.next) {
            return;
        }
        note_gap(from, sequence + 1);
        from.next = sequence + 1;
    }

    void note_gap(channel& from, std::uint64_t sequence) {
        if (from.numbered && sequence > from.next) {
            ++counts().sequence_gaps;
            counts().messages_missing += sequence - from.next;
        }
        from.numbered = true;
    }

    void need(std::span<const std::byte> body, std::size_t length) const {
        if (body.size() != length) {
            fail(feed_fault::corrupt,
                 "a message of type " + std::string(1, std::to_integer<char>(body[0])) +
                     " with a length that is not its own",
                 std::to_string(body.size()), fetch_again);
        }
    }

    [[noreturn]] void fail(feed_fault fault, const std::string& problem, std::string_view value,
                           std::string_view remedy) const {
        throw feed_error(fault, place(), problem, value, remedy);
    }
    [[nodiscard]] feed_place place() const {
        return {pcap_.name(), packet_.payload_offset + position_, 0};
    }

    pcap_reader pcap_;
    receive_clock clock_;
    instrument_table table_;
    std::unordered_map<std::uint32_t, std::uint32_t> ids_;  ///< of products
    std::vector<channel> channels_;
    datagram packet_;
    std::size_t position_ = 0;  ///< in the packet's payload
};

}  // namespace

std::unique_ptr<feed> make_pcap_feed(std::unique_ptr<feed_reader> reader, feed_params params) {
    return std::make_unique<miax_feed>(std::move(reader), params);
}

}  // namespace ropeway
