// SPDX-License-Identifier: Apache-2.0
//
// Synthesised critical events between the events of another feed.
#include <ropeway/runtime/feed_critical.hpp>

#include <array>
#include <utility>

namespace ropeway {
namespace {

class critical_feed final : public feed {
  public:
    critical_feed(std::unique_ptr<feed> market, critical_event_params params)
        : market_(std::move(market)), params_(params) {}

    const instrument_table& instruments() const noexcept override { return market_->instruments(); }
    std::string description() const override {
        return market_->description() + " with critical events";
    }
    feed_stats stats() const override {
        const auto own = feed::stats();
        auto all = market_->stats();  // rows, packets and what else the format knows
        all.events = own.events;
        all.by_kind = own.by_kind;
        all.critical_inserted = inserted_;
        return all;
    }

  protected:
    bool read(market_event& out) override {
        if (std::exchange(report_due_, false)) {
            make_report(out);
            return true;
        }
        if (std::exchange(control_due_, false)) {
            make_control(out);
            return true;
        }
        if (!market_->next(out)) {
            return false;
        }
        if (is_critical(out.kind)) {
            return true;
        }
        last_ = out;
        ++market_events_;
        report_due_ = is_due(params_.execution_report_every);
        control_due_ = is_due(params_.control_every);
        return true;
    }

  private:
    [[nodiscard]] bool is_due(std::uint32_t every) const noexcept {
        return every != 0 && market_events_ % every == 0;
    }

    void make_common(market_event& out) {
        out.instrument = last_.instrument;
        out.receive_ns = last_.receive_ns;
        out.exchange_ns = last_.exchange_ns;
        out.price = last_.price;
        out.exchange_id = ++inserted_;
    }

    void make_report(market_event& out) {
        make_common(out);
        out.kind = event_kind::execution_report;
        out.side = inserted_ % 2 == 0 ? event_side::bid : event_side::offer;
        out.quantity = last_.quantity != 0 ? last_.quantity : price_scale;
        out.order = ++order_;
    }

    void make_control(market_event& out) {
        constexpr std::array steps{event_kind::control_command, event_kind::control_ack,
                                   event_kind::control_result};
        make_common(out);
        out.kind = steps[step_];
        if (step_ == 0) {
            command_ = ++order_;
        }
        out.order = command_;
        step_ = (step_ + 1) % steps.size();
    }

    std::unique_ptr<feed> market_;
    critical_event_params params_;
    market_event last_{};
    std::uint64_t market_events_ = 0;
    std::uint64_t inserted_ = 0;
    std::uint64_t order_ = 0;
    std::uint64_t command_ = 0;  ///< order id of the control round in progress
    std::size_t step_ = 0;
    bool report_due_ = false;
    bool control_due_ = false;
};

}  // namespace

std::unique_ptr<feed> with_critical_events(std::unique_ptr<feed> market,
                                           critical_event_params params) {
    if (market == nullptr) {
        throw feed_error(feed_fault::bad_value, {"with_critical_events"}, "no feed to wrap", "",
                         "pass a feed");
    }
    return std::make_unique<critical_feed>(std::move(market), params);
}

}  // namespace ropeway
