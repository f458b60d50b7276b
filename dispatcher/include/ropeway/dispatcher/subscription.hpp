// SPDX-License-Identifier: Apache-2.0
//
// The handle of a subscription. Ownership: destroying it ends the subscription; move-only. It keeps
// the dispatcher's engine alive. Thread safety: one thread at a time, except stats() and
// update_min_version().
#pragma once

#include <memory>
#include <string_view>
#include <utility>

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
    /// for a handler that runs, but no more than a second for one that stop() gave up: whenever it
    /// returns, its worker finishes, and what it uses must live until then. From inside a handler
    /// it only marks, and a worker finishes.
    void unsubscribe() noexcept {
        if (core_ != nullptr) {
            owner_->remove_subscription(*std::exchange(core_, nullptr));
            owner_.reset();
        }
    }

    /// Market data with a lower version is filtered from now on; never lowers the minimum.
    void update_min_version(std::uint64_t version) noexcept {
        core_->face.update_min_version(core_->face.object, version);
    }
    [[nodiscard]] subscription_stats stats() const { return owner_->stats_of(*core_); }
    [[nodiscard]] std::string_view name() const noexcept { return core_->name; }
    [[nodiscard]] explicit operator bool() const noexcept { return core_ != nullptr; }

  private:
    std::shared_ptr<detail::engine> owner_;
    detail::subscription_core* core_ = nullptr;
};

}  // namespace ropeway
