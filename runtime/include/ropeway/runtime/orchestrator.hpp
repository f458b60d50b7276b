// SPDX-License-Identifier: Apache-2.0
//
// Merges partial events into one and stamps routing versions. An orchestrator borrows the version
// it stamps from and the recycler that takes the partials; it owns its fold and counters. merge()
// and stamp() belong to one thread at a time, as a publisher does; stats() is for any thread.
// Nothing is allocated.
#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <ropeway/consumer/stats.hpp>
#include <ropeway/pool/market_event.hpp>
#include <ropeway/pool/pooled.hpp>
#include <ropeway/pool/recycler.hpp>
#include <ropeway/pool/site.hpp>

namespace ropeway {

/// A routing version that only rises, for programs without a dispatcher (which has its own: see
/// dispatcher::version_source()). Every member is safe on every thread.
class version_counter {
  public:
    explicit version_counter(std::uint64_t first = 0) noexcept : value_(first) {}

    /// Raises the version by one and returns the new one.
    std::uint64_t raise() noexcept {
        // Release pairs with orchestrator::version(): what the caller did before the flip is
        // visible to whoever stamps the new version.
        return value_.fetch_add(1, std::memory_order_release) + 1;
    }
    /// Raises the version to `version`; a lower one than now changes nothing.
    void raise_to(std::uint64_t version) noexcept {
        std::uint64_t now = value_.load(std::memory_order_relaxed);  // the swap re-checks it
        // Release as in raise(); relaxed on failure: nothing was published.
        while (now < version &&
               !value_.compare_exchange_weak(now, version, std::memory_order_release,
                                             std::memory_order_relaxed)) {
        }
    }
    [[nodiscard]] const std::atomic<std::uint64_t>& source() const noexcept { return value_; }

  private:
    std::atomic<std::uint64_t> value_;
};

/// How a merge ended.
enum class merge_outcome : std::uint8_t {
    merged,   ///< the event is written and stamped, the partials are recycled
    nothing,  ///< no partial was given (all handles empty); the event is untouched
    refused,  ///< the fold refused a partial, or the event is one of them: all stay the caller's
};

/// What merge() did. All of it was copied before the partials were recycled.
struct merge_result {
    merge_outcome outcome = merge_outcome::nothing;
    std::size_t partials = 0;           ///< merged and recycled
    std::uint64_t routing_version = 0;  ///< stamped on the event
    trace_id trace{};                   ///< of the merged event
    /// True when the event may be published.
    [[nodiscard]] explicit operator bool() const noexcept {
        return outcome == merge_outcome::merged;
    }
};

/// Counts of one orchestrator.
struct orchestrator_stats {
    std::uint64_t merged = 0;    ///< merges done
    std::uint64_t partials = 0;  ///< partials they recycled
    std::uint64_t refused = 0;   ///< merges refused
    std::uint64_t stamped = 0;   ///< versions stamped, merges included
};

/// Takes one partial into the event under construction: `index` counts from 0 and `into` is a
/// default event before the first. Returns false when the partial does not belong to the others.
template <class Fold, class E>
concept fold_for = requires(Fold& fold, E& into, const E& partial, std::size_t index) {
    { fold(into, partial, index) } -> std::convertible_to<bool>;
};

/// The fold of market_event: bid and offer sides of one instrument become one quote.
/// A partial is a quote whose side says which side its `price` and `quantity` are; side `none` is a
/// whole quote. A side given twice: the later one counts. The quote's trace id is the first that is
/// not zero, its flags are the bid's, its stamps and exchange_id the latest. Other kinds and
/// instruments are refused.
struct quote_fold {
    bool operator()(market_event& into, const market_event& partial,
                    std::size_t index) const noexcept;
};

/// Merges and stamps. See the file's head; `orchestrator` is the one for market_event.
template <event_type E, fold_for<E> Fold>
class basic_orchestrator {
  public:
    using traits = event_traits<E>;

    /// `version` is what is stamped (it must only rise: version_counter, or a dispatcher's
    /// version_source()); `back` takes the partials (event_pool::back()). Both must outlive it.
    basic_orchestrator(const std::atomic<std::uint64_t>& version, recycler& back, Fold fold = {})
        : version_(&version), back_(&back), fold_(std::move(fold)) {}
    basic_orchestrator(const basic_orchestrator&) = delete;
    basic_orchestrator& operator=(const basic_orchestrator&) = delete;

    /// Folds the partials into `into` (say a claim: *claim), stamps it, and gives all partials back
    /// in one bulk return before it returns: their handles are empty then. Empty handles among them
    /// are skipped. On `refused` the partials stay the caller's and `into` is a default event,
    /// unless it was one of the partials.
    /// @throws what the fold throws (the partials stay the caller's); violation_error under policy
    /// throw_error, after all were given back.
    merge_result merge(std::span<pooled<E>> partials, E& into, site where = site::here()) {
        merge_result result;
        for (const pooled<E>& partial : partials) {
            if (partial.get() == &into) {  // folding would read what it has just reset
                return refuse();
            }
        }
        for (const pooled<E>& partial : partials) {
            if (!partial) {
                continue;
            }
            if (result.partials == 0) {
                traits::reset(into);
            }
            if (!fold_(into, std::as_const(*partial), result.partials)) {
                traits::reset(into);
                return refuse();
            }
            ++result.partials;
        }
        if (result.partials == 0) {
            return result;
        }
        result.outcome = merge_outcome::merged;
        result.routing_version = stamp(into);
        result.trace = traits::trace(into);
        merged_.add(1);
        partials_.add(result.partials);
        back_->recycle_many(partials, where);
        return result;
    }

    /// Stamps the version of now on an event that needs no merging; returns it.
    std::uint64_t stamp(E& event) noexcept {
        const std::uint64_t now = version();
        traits::set_routing_version(event, now);
        stamped_.add(1);
        return now;
    }

    /// The version of now. Never lower than one this thread has seen before.
    [[nodiscard]] std::uint64_t version() const noexcept {
        // Acquire pairs with the release of whoever raised it (version_counter::raise(),
        // dispatcher::flip()): an event stamped with it was made in the world after the flip.
        return version_->load(std::memory_order_acquire);
    }

    [[nodiscard]] orchestrator_stats stats() const noexcept {
        return {merged_.get(), partials_.get(), refused_.get(), stamped_.get()};
    }

  private:
    merge_result refuse() noexcept {
        refused_.add(1);
        return {merge_outcome::refused, 0, 0, {}};
    }

    const std::atomic<std::uint64_t>* version_;  ///< constant after construction
    recycler* back_;                             ///< constant after construction
    Fold fold_;                                  ///< whoever merges
    counter_cell merged_;                        ///< the cells: written by whoever merges
    counter_cell partials_;
    counter_cell refused_;
    counter_cell stamped_;
};

extern template class basic_orchestrator<market_event, quote_fold>;

using orchestrator = basic_orchestrator<market_event, quote_fold>;

}  // namespace ropeway
