// SPDX-License-Identifier: Apache-2.0
//
// What a worker asks between two handlers of a batch, and how it is told that most events need not
// be asked about one by one. On the stack of whoever holds the subscription.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/dispatcher/subscription_core.hpp>

namespace ropeway::detail {

/// What decides that an event takes no more than its handler.
struct plainness {
    std::uint64_t changes;  ///< as long as engine::changes() says this
    std::uint64_t least;    ///< its version is not lower
    std::uint64_t watched;  ///< its sequence is lower
};

/// How far a run of plain events came.
struct progress {
    std::uint32_t head;
    std::uint32_t calls;
    bool failed;  ///< the handler of the last event threw
};

/// Whether a batch goes on, and what is stale by now.
class between_handlers {
  public:
    between_handlers(subscription_core& sub, const serve_context& context,
                     const std::atomic<std::uint64_t>& min_version, bool gives_way) noexcept
        : sub_(sub),
          owner_(*context.owner),
          min_version_(min_version),
          critical_seen_(context.critical_seen),
          gives_way_(gives_way) {}

    /// False: no further handler of this batch is called now.
    [[nodiscard]] bool go_on() noexcept {
        const std::uint64_t changes = owner_.changes();
        return changes == changes_ || look(changes);
    }
    /// True when go_on() has to be asked again before the next handler.
    [[nodiscard]] bool changed() const noexcept { return owner_.changes() != changes_; }
    /// Market data of a lower version is stale for the next handler.
    [[nodiscard]] std::uint64_t least() const noexcept { return least_; }

    /// Which events from this sequence on are plain: until the next one that is sampled or awaited.
    /// Those of a batch ascend.
    [[nodiscard]] plainness plain_from(std::uint64_t sequence,
                                       const publisher_core& from) const noexcept {
        return {changes_, least_, from.watched_from(sequence)};
    }

  private:
    [[nodiscard]] bool look(std::uint64_t changes) noexcept {
        changes_ = changes;  // read before what it speaks of
        if (gives_way_ && owner_.critical_waits(critical_seen_)) {
            return false;  // at most the handler in progress goes before a critical event
        }
        if (sub_.ending()) {
            return false;  // the handler ended its own subscription
        }
        // Relaxed: our own.
        const std::uint64_t before = sub_.acknowledged.load(std::memory_order_relaxed);
        std::uint64_t version = owner_.version();
        if (version != before) {
            // Release pairs with flip_and_wait(): the handler before has returned, and what it did
            // is visible.
            sub_.acknowledged.store(version, std::memory_order_release);
            version = planted(planted_bug::old_version) ? before : version;
        }
        // Acquire pairs with update_min_version(): what its caller did before is visible.
        least_ = std::max(version, min_version_.load(std::memory_order_acquire));
        return true;
    }

    subscription_core& sub_;
    const engine& owner_;
    const std::atomic<std::uint64_t>& min_version_;
    const std::uint64_t critical_seen_;
    const bool gives_way_;
    std::uint64_t changes_ = ~std::uint64_t{0};  ///< no count of changes: the first time looks
    std::uint64_t least_ = 0;
};

}  // namespace ropeway::detail
