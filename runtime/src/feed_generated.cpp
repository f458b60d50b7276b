// SPDX-License-Identifier: Apache-2.0
//
// The generated feed, millisecond by millisecond: is it busy, how many messages, at which
// nanoseconds; then for each message kind, instrument and price. Integers only.
#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "feed_shape.hpp"

namespace ropeway {
namespace {

constexpr std::int64_t ns_per_ms = 1'000'000;
constexpr std::uint32_t ms_per_second = 1000;
constexpr std::uint32_t most_instruments = 65536;
constexpr std::int64_t tick = price_scale / 100;
constexpr std::uint64_t golden = 0x9e3779b97f4a7c15U;  // 2^64 / golden ratio

[[noreturn]] void refuse(const char* parameter, const std::string& value, const char* remedy) {
    throw feed_error(feed_fault::bad_value, {"generated feed"}, parameter, value, remedy);
}

class generated_feed final : public feed {
  public:
    explicit generated_feed(const generated_feed_params& params)
        : params_(checked(params)),
          shape_(numbers_of(params.shape)),
          random_(params.seed),
          table_(params.instruments),
          last_price_(params.instruments) {
        for (std::uint32_t i = 0; i < params.instruments; ++i) {
            static_cast<void>(table_.id_of("G" + std::to_string(i + 1)));
            last_price_[i] = (1000 + static_cast<std::int64_t>(random_.below(9000))) * tick;
        }
        const auto& kinds = params.kinds;
        std::uint64_t sum = 0;
        for (const auto& [kind, weight] :
             {std::pair{event_kind::quote, kinds.quote}, std::pair{event_kind::trade, kinds.trade},
              std::pair{event_kind::book_update, kinds.book_update},
              std::pair{event_kind::ticker, kinds.ticker},
              std::pair{event_kind::market_status, kinds.market_status}}) {
            sum += weight;
            if (weight > 0) {
                kinds_.push_back({kind, sum});
            }
        }
        next_heartbeat_ = params.heartbeat_interval.count();
    }

    const instrument_table& instruments() const noexcept override { return table_; }
    std::string description() const override {
        return "generated " + std::string(to_string(params_.shape)) + " seed " +
               std::to_string(params_.seed);
    }

  protected:
    bool read(market_event& out) override {
        if (params_.events != 0 && counts().events == params_.events) {
            return false;
        }
        const auto heartbeat_ns = params_.heartbeat_interval.count();
        while (left_ == 0) {
            // heartbeats in front of the millisecond to come; never more than one interval apart
            if (heartbeat_ns > 0 && next_heartbeat_ <= millisecond_ * ns_per_ms) {
                break;
            }
            if (is_over(millisecond_ * ns_per_ms)) {
                return false;
            }
            plan_millisecond();
        }
        if (heartbeat_ns > 0 && (left_ == 0 || next_heartbeat_ <= at_)) {
            if (is_over(next_heartbeat_)) {
                return false;
            }
            out.kind = event_kind::heartbeat;
            stamp(out, next_heartbeat_);
            next_heartbeat_ += heartbeat_ns;
            return true;
        }
        if (is_over(at_)) {
            return false;
        }
        make_message(out);
        return true;
    }

  private:
    struct kind_share {
        event_kind kind{};
        std::uint64_t below = 0;  ///< of the sum of weights
    };

    static const generated_feed_params& checked(const generated_feed_params& params) {
        const auto& k = params.kinds;
        if (params.instruments == 0 || params.instruments > most_instruments) {
            refuse("instruments out of range", std::to_string(params.instruments),
                   "choose 1 to 65536");
        }
        const auto sum =
            std::uint64_t{k.quote} + k.trade + k.book_update + k.ticker + k.market_status;
        if (sum == 0 || sum > std::numeric_limits<std::uint32_t>::max()) {
            refuse("kind weights out of range", std::to_string(sum),
                   "their sum must be 1 to 4294967295");
        }
        if (params.heartbeat_interval.count() < 0 ||
            (params.heartbeat_interval.count() > 0 &&
             params.heartbeat_interval.count() < ns_per_ms)) {
            refuse("heartbeat_interval out of range",
                   std::to_string(params.heartbeat_interval.count()) + " ns",
                   "choose 0 or at least 1 ms");
        }
        if (params.duration.count() < 0) {
            refuse("negative duration", std::to_string(params.duration.count()) + " ns",
                   "choose 0 for an endless feed");
        }
        return params;
    }

    [[nodiscard]] bool is_over(std::int64_t at) const noexcept {
        return params_.duration.count() != 0 && at > params_.duration.count();
    }

    void begin_second(std::uint64_t second) noexcept {
        // multiples of the golden ratio visit the table evenly, so even a short run has calm and
        // hot seconds in the right proportion
        const auto part =
            static_cast<std::uint32_t>((params_.seed * golden + second * golden) >> 48U);
        activity_ = value_at(shape_.activity, part);
        const bool peaks = second >= shape_.peak_first_second &&
                           (second - shape_.peak_first_second) % shape_.peak_every_seconds == 0;
        peak_ms_ = peaks ? random_.below(ms_per_second) : ms_per_second;
    }

    /// Decides on the millisecond `millisecond_` and moves on; leaves its messages in left_, at_.
    void plan_millisecond() noexcept {
        const auto in_second = static_cast<std::uint32_t>(millisecond_ % ms_per_second);
        if (in_second == 0) {
            begin_second(static_cast<std::uint64_t>(millisecond_ / ms_per_second));
        }
        at_ = millisecond_ * ns_per_ms;
        ++millisecond_;
        if (in_second == peak_ms_) {
            left_ = shape_.peak;
        } else if (random_.below(1'000'000) <
                   std::uint64_t{shape_.busy_per_million} * activity_ / 1000) {
            const auto size = std::uint64_t{value_at(shape_.size, random_.below(65536))};
            const auto rounded = (size * activity_ / 1000 + random_.below(1000)) / 1000;
            left_ = std::clamp(static_cast<std::uint32_t>(rounded), 1U, shape_.largest);
        } else {
            return;
        }
        // back to back, 0.3 to 2 us apart, somewhere in the millisecond
        spacing_ = std::min(300 + random_.below(1700), 900'000 / left_);
        const auto span = left_ * spacing_;
        at_ += random_.below(static_cast<std::uint32_t>(ns_per_ms) - span);
    }

    void make_message(market_event& out) noexcept {
        out.kind = draw_kind();
        const auto u = random_.next() >> 32U;
        // squared: low ids are the frequent ones
        const auto index =
            static_cast<std::uint32_t>((((u * u) >> 32U) * params_.instruments) >> 32U);
        out.instrument = index + 1;
        out.exchange_id = ++last_id_;
        auto& price = last_price_[index];
        price += (static_cast<std::int64_t>(random_.below(3)) - 1) * tick;
        price = std::max(price, tick);
        out.price = price;
        out.quantity = price_scale * (1 + std::int64_t{random_.below(100)});
        if (out.kind == event_kind::quote) {
            out.price2 = price + tick;
            out.quantity2 = price_scale * (1 + std::int64_t{random_.below(100)});
        }
        stamp(out, at_);
        if (--left_ > 0 && random_.below(1000) >= shape_.same_stamp_per_mille) {
            at_ += spacing_;
        }
    }

    event_kind draw_kind() noexcept {
        const auto drawn = random_.below(static_cast<std::uint32_t>(kinds_.back().below));
        for (const auto& share : kinds_) {
            if (drawn < share.below) {
                return share.kind;
            }
        }
        return kinds_.back().kind;
    }

    /// The exchange is given its own clock, a second and some behind, to remind of real captures.
    void stamp(market_event& out, std::int64_t at) const noexcept {
        constexpr std::int64_t clock_offset_ns = 1'270'000'000;
        out.receive_ns = params_.start_ns + at;
        out.exchange_ns = out.receive_ns + clock_offset_ns;
    }

    generated_feed_params params_;
    shape_numbers shape_;
    feed_random random_;
    instrument_table table_;
    std::vector<std::int64_t> last_price_;
    std::vector<kind_share> kinds_;
    std::int64_t millisecond_ = 0;  ///< the next to be planned
    std::int64_t next_heartbeat_ = 0;
    std::int64_t at_ = 0;  ///< of the next message, after the start
    std::uint64_t last_id_ = 0;
    std::uint32_t activity_ = 0;
    std::uint32_t peak_ms_ = ms_per_second;
    std::uint32_t left_ = 0;  ///< messages of the planned millisecond
    std::uint32_t spacing_ = 0;
};

}  // namespace

std::string_view to_string(burst_shape shape) noexcept {
    switch (shape) {
        case burst_shape::binance_futures: return "binance_futures";
        case burst_shape::miax_options: return "miax_options";
    }
    return "unknown";
}

std::unique_ptr<feed> make_generated_feed(const generated_feed_params& params) {
    return std::make_unique<generated_feed>(params);
}

}  // namespace ropeway
