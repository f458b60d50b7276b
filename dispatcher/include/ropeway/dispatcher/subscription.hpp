// SPDX-License-Identifier: Apache-2.0
//
// The handle of a subscription. Ownership: destroying it ends the subscription; move-only. It keeps
// the dispatcher's engine alive. Thread safety: one thread at a time, except stats(), histograms(),
// name(), first_sequence() and update_min_version(). Allocation: set_interest(), set_policy() and
// set_after().
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include <ropeway/dispatcher/engine.hpp>

namespace ropeway {

class [[nodiscard]] subscription {
  public:
    subscription() noexcept = default;
    subscription(std::shared_ptr<detail::engine> owner, detail::subscription_core& core) noexcept
        : owner_(std::move(owner)), core_(&core) {}
    subscription(subscription&& other) noexcept
        : owner_(std::move(other.owner_)), core_(std::exchange(other.core_, nullptr)) {}
    subscription& operator=(subscription&& other) noexcept {
        if (this != &other) {
            unsubscribe();
            owner_ = std::move(other.owner_);
            core_ = std::exchange(other.core_, nullptr);
        }
        return *this;
    }
    subscription(const subscription&) = delete;
    subscription& operator=(const subscription&) = delete;
    ~subscription() { unsubscribe(); }

    /// Ends the subscription: what it has not taken is discarded, the handler is destroyed. Waits
    /// for a handler that runs, which holds up no publisher meanwhile, but no more than a second
    /// for one that stop() gave up: whenever it returns, its worker finishes, and what it uses must
    /// live until then. From inside a handler it only marks, and a worker finishes.
    void unsubscribe() noexcept {
        if (core_ != nullptr) {
            static_cast<void>(unsubscribe(leaving::discard, std::chrono::nanoseconds::max()));
        }
    }
    /// The same, and says what became of its events; with leaving::drain after all that was
    /// committed before the call was handled. Waits no longer than the deadline; a handler that
    /// still runs then holds up no publisher, and is the last one. Inside a handler it waits for
    /// nothing and drains nothing. Of an empty handle: an empty report.
    unsubscribe_report unsubscribe(leaving how, std::chrono::nanoseconds deadline) noexcept {
        unsubscribe_report out;
        if (core_ != nullptr) {
            out = owner_->remove_subscription(*std::exchange(core_, nullptr), how, deadline);
            owner_.reset();
        }
        return out;
    }

    /// Changes what it wants, from the next batch on: every event published after this returns is
    /// held against the new interest. Waits for its handler, no longer than the deadline. Throws
    /// std::invalid_argument as subscribe() does.
    change_status set_interest(kind_set kinds, std::vector<std::uint32_t> instruments,
                               std::chrono::nanoseconds deadline) {
        return owner_->set_interest(*core_, kinds, std::move(instruments), deadline);
    }
    /// Changes what happens when it falls a ring behind. Waits for its handler, no longer than the
    /// deadline: a stuck subscription can be ended, not changed. Throws std::invalid_argument as
    /// subscribe() does, and for a subscription that overflow::disconnect has ended.
    change_status set_policy(overflow policy, std::chrono::nanoseconds deadline) {
        return owner_->set_policy(*core_, policy, deadline);
    }
    /// It sees every event of a publisher that it wants from this sequence on.
    [[nodiscard]] std::uint64_t first_sequence(std::uint32_t publisher) const noexcept {
        return core_->first_sequence[publisher];
    }

    /// Market data with a lower version is filtered from now on; never lowers the minimum.
    void update_min_version(std::uint64_t version) noexcept {
        core_->face.update_min_version(core_->face.object, version);
        owner_->note_change();
    }
    [[nodiscard]] subscription_stats stats() const { return owner_->stats_of(*core_); }
    /// Of one event in 64.
    [[nodiscard]] subscription_histograms histograms() const noexcept {
        return {core_->latency.snapshot(), core_->handler_time.snapshot()};
    }
    [[nodiscard]] std::string_view name() const noexcept { return core_->name; }
    [[nodiscard]] explicit operator bool() const noexcept { return core_ != nullptr; }

    /// Changes whom it comes after, from the next batch on; see subscription_params::after. Throws
    /// std::invalid_argument for one of another dispatcher, and for a cycle, naming its path.
    void set_after(const std::vector<const subscription*>& others) {
        owner_->set_after(*core_, cores_of(others, owner_));
    }

  private:
    template <event_type E>
    friend class dispatcher;

    [[nodiscard]] static std::vector<detail::subscription_core*> cores_of(
        const std::vector<const subscription*>& others,
        const std::shared_ptr<detail::engine>& owner) {
        std::vector<detail::subscription_core*> out;
        for (const subscription* const other : others) {
            if (other == nullptr || other->owner_ != owner) {
                throw std::invalid_argument(
                    "subscription_params::after names a subscription that has ended, or one of "
                    "another dispatcher.");
            }
            out.push_back(other->core_);
        }
        return out;
    }

    std::shared_ptr<detail::engine> owner_;
    detail::subscription_core* core_ = nullptr;
};

}  // namespace ropeway
