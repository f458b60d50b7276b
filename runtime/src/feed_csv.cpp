// SPDX-License-Identifier: Apache-2.0
//
// The Binance CSV layouts, one row one event. Every field of every row is checked: one that must be
// there is, one that must be empty is.
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "feed_decimal.hpp"
#include "feed_open.hpp"
#include "feed_receive_clock.hpp"

namespace ropeway {
namespace {

constexpr std::string_view events_header =
    "recv_ns,exch_ms,kind,symbol,id,price1,qty1,price2,qty2,levels";
constexpr std::string_view trades_header = "recv_ns,exch_ms,trade_id,price,qty,is_buyer_maker";
constexpr std::size_t longest_line = 1024;
constexpr std::size_t longest_symbol = 32;
constexpr std::size_t most_fields = 10;
constexpr std::int64_t ns_per_ms = 1'000'000;

class csv_feed final : public feed {
  public:
    csv_feed(std::unique_ptr<feed_reader> reader, feed_params params)
        : reader_(std::move(reader)),
          params_(std::move(params)),
          clock_(params_),
          table_(params_.max_instruments) {
        read_header();
    }

    const instrument_table& instruments() const noexcept override { return table_; }
    std::string description() const override {
        return (is_trades_ ? "Binance trades CSV " : "Binance events CSV ") + reader_->name();
    }

  protected:
    bool read(market_event& out) override {
        if (!next_line()) {
            if (counts().rows == 0) {
                fail(feed_fault::empty, "no row follows the header", "", "fetch the file again");
            }
            return false;
        }
        split();
        if (is_trades_) {
            read_trades_row(out);
        } else {
            read_events_row(out);
        }
        ++counts().rows;
        ++counts().messages;
        return true;
    }

  private:
    using field = std::size_t;

    void read_header() {
        const bool any = next_line();
        is_trades_ = text_ == trades_header;
        if (!any) {
            fail(feed_fault::empty, "the file is empty", "", "fetch it again");
        }
        if (!is_trades_ && text_ != events_header) {
            fail(feed_fault::unknown_format, "the first line is no known header", text_,
                 "expected: " + std::string(events_header));
        }
        names_ = is_trades_ ? trades_header : events_header;
        columns_ = static_cast<std::size_t>(std::count(names_.begin(), names_.end(), ',')) + 1;
    }

    /// The next line into text_; false at the end.
    bool next_line() {
        line_offset_ = reader_->offset();
        ++line_;
        const auto line = reader_->take_line(longest_line);
        text_ = line.text;
        if (line.ended) {
            return true;
        }
        if (text_.empty()) {
            return false;
        }
        if (line.too_long) {
            fail(feed_fault::corrupt, "a line of more than 1024 bytes", text_,
                 "fetch the file again");
        }
        fail(feed_fault::truncated, "the last line has no newline, so the file was cut", text_,
             "fetch the file again");
    }

    void split() {
        std::size_t count = 0;
        std::string_view rest = text_;
        for (;;) {
            const auto comma = rest.find(',');
            if (count < fields_.size()) {
                fields_[count] = rest.substr(0, comma);
            }
            ++count;
            if (comma == std::string_view::npos) {
                break;
            }
            rest.remove_prefix(comma + 1);
        }
        if (count != columns_) {
            fail(feed_fault::corrupt,
                 "a row of " + std::to_string(count) + " fields instead of " +
                     std::to_string(columns_),
                 text_, "fetch the file again");
        }
    }

    void read_stamps(market_event& out) {
        const auto receive = integer<std::int64_t>(0);
        std::int64_t exchange = 0;
        if (__builtin_mul_overflow(integer<std::int64_t>(1), ns_per_ms, &exchange)) {
            fail_field(1, "milliseconds that do not fit");
        }
        out.exchange_ns = exchange;
        out.receive_ns = clock_.accept(receive, counts(), [this] { return place(); });
    }

    void read_events_row(market_event& out) {
        constexpr field kind = 2, symbol = 3, id = 4, price1 = 5, quantity1 = 6, price2 = 7,
                        quantity2 = 8, levels = 9;
        read_stamps(out);
        out.exchange_id = integer<std::uint64_t>(id);
        const auto changed = integer<std::uint32_t>(levels);
        if (fields_[kind] == "bookTicker") {
            out.kind = event_kind::quote;
            out.price = decimal(price1);
            out.quantity = decimal(quantity1);
            out.price2 = decimal(price2);
            out.quantity2 = decimal(quantity2);
        } else if (fields_[kind] == "trade") {
            out.kind = event_kind::trade;
            out.price = decimal(price1);
            out.quantity = decimal(quantity1);
            nothing(price2);
            nothing(quantity2);
        } else if (fields_[kind] == "depthUpdate") {
            out.kind = event_kind::book_update;
            for (const auto unused : {price1, quantity1, price2, quantity2}) {
                nothing(unused);
            }
            out.flags = static_cast<std::uint16_t>(
                std::min<std::uint32_t>(changed, std::numeric_limits<std::uint16_t>::max()));
        } else {
            fail_field(kind, "no known kind (bookTicker, trade, depthUpdate)");
        }
        out.instrument = instrument(fields_[symbol]);
    }

    void read_trades_row(market_event& out) {
        constexpr field id = 2, price = 3, quantity = 4, buyer_is_maker = 5;
        read_stamps(out);
        out.kind = event_kind::trade;
        out.exchange_id = integer<std::uint64_t>(id);
        out.price = decimal(price);
        out.quantity = decimal(quantity);
        if (fields_[buyer_is_maker] != "0" && fields_[buyer_is_maker] != "1") {
            fail_field(buyer_is_maker, "neither 0 nor 1");
        }
        out.flags = fields_[buyer_is_maker] == "1" ? 1 : 0;
        out.instrument = instrument(params_.symbol);
    }

    std::uint32_t instrument(std::string_view symbol) {
        const bool printable =
            std::all_of(symbol.begin(), symbol.end(), [](char c) { return c > ' ' && c < 0x7f; });
        if (symbol.empty() || symbol.size() > longest_symbol || !printable) {
            fail(feed_fault::bad_value, "no symbol of 1 to 32 printable characters", symbol,
                 "fetch the file again");
        }
        const auto id = table_.id_of(symbol);
        if (id == 0) {
            fail(feed_fault::too_many_instruments,
                 "more than " + std::to_string(table_.max_size()) + " instruments", symbol,
                 "raise max_instruments if the file is right");
        }
        return id;
    }

    template <class Integer>
    Integer integer(field at) {
        const auto value = parse_integer<Integer>(fields_[at]);
        if (!value) {
            fail_field(at, "no whole number in range");
        }
        return *value;
    }
    std::int64_t decimal(field at) {
        const auto value = parse_decimal(fields_[at]);
        if (!value) {
            fail_field(at, "no decimal number with at most 8 places in range");
        }
        return *value;
    }
    void nothing(field at) {
        if (!fields_[at].empty()) {
            fail_field(at, "must be empty in a row of this kind");
        }
    }

    [[noreturn]] void fail_field(field at, std::string_view problem) {
        std::string_view name = names_;
        for (field i = 0; i < at; ++i) {
            name.remove_prefix(name.find(',') + 1);
        }
        fail(feed_fault::bad_value,
             std::string(name.substr(0, name.find(','))) + ": " + std::string(problem),
             fields_[at].empty() ? std::string_view("(empty)") : fields_[at],
             "fetch the file again, or correct the row");
    }
    [[noreturn]] void fail(feed_fault fault, const std::string& problem, std::string_view value,
                           const std::string& remedy) {
        throw feed_error(fault, place(), problem, value, remedy);
    }
    [[nodiscard]] feed_place place() const { return {reader_->name(), line_offset_, line_}; }

    std::unique_ptr<feed_reader> reader_;
    feed_params params_;
    receive_clock clock_;
    instrument_table table_;
    bool is_trades_ = false;
    std::string_view names_;  ///< of the columns, as in the header
    std::size_t columns_ = 0;
    std::string_view text_;  ///< the row, in the reader's block
    std::array<std::string_view, most_fields> fields_{};
    std::uint64_t line_ = 0;
    std::uint64_t line_offset_ = 0;
};

}  // namespace

std::unique_ptr<feed> make_csv_feed(std::unique_ptr<feed_reader> reader, feed_params params) {
    return std::make_unique<csv_feed>(std::move(reader), std::move(params));
}

}  // namespace ropeway
