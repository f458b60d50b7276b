// SPDX-License-Identifier: Apache-2.0
//
// What a feed holds: a publisher, and the claims it fills. claim() never waits; publish() is the
// only call that may. Ownership: both are move-only handles; a publisher keeps its dispatcher's
// engine alive, and a claim must not outlive its publisher. Thread safety: one thread at a time per
// publisher (checked), its claims included; handing one to another thread is fine. Nothing is
// allocated after construction.
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <stop_token>
#include <string_view>
#include <utility>

#include <ropeway/dispatcher/engine.hpp>
#include <ropeway/dispatcher/publish_result.hpp>
#include <ropeway/dispatcher/threading.hpp>

namespace ropeway {

template <event_type E>
class publisher;

/// A slot to fill. Goes back by itself if it is not published.
template <event_type E>
class [[nodiscard]] claimed {
  public:
    claimed() noexcept = default;
    claimed(claimed&& other) noexcept
        : core_(std::exchange(other.core_, nullptr)),
          event_(other.event_),
          slot_(other.slot_),
          declared_(other.declared_) {}
    claimed& operator=(claimed&& other) noexcept {
        if (this != &other) {
            give_back();
            core_ = std::exchange(other.core_, nullptr);
            event_ = other.event_;
            slot_ = other.slot_;
            declared_ = other.declared_;
        }
        return *this;
    }
    claimed(const claimed&) = delete;
    claimed& operator=(const claimed&) = delete;
    ~claimed() { give_back(); }

    [[nodiscard]] explicit operator bool() const noexcept { return core_ != nullptr; }
    [[nodiscard]] E* operator->() const noexcept { return event_; }
    [[nodiscard]] E& operator*() const noexcept { return *event_; }

  private:
    friend class publisher<E>;
    enum class declared_class : std::uint8_t { nothing, as_market, as_critical };

    void give_back() noexcept {
        if (core_ != nullptr) {
            std::exchange(core_, nullptr)->abandon(slot_);
        }
    }

    detail::publisher_core* core_ = nullptr;
    E* event_ = nullptr;
    detail::claimed_slot slot_{};
    declared_class declared_ = declared_class::nothing;
};

/// Publishes events into its two rings (market data and critical kinds).
template <event_type E>
class publisher {
  public:
    using traits = event_traits<E>;

    publisher() noexcept = default;
    publisher(std::shared_ptr<detail::engine> owner, detail::publisher_core& core) noexcept
        : owner_(std::move(owner)), core_(&core) {}
    publisher(publisher&& other) noexcept
        : owner_(std::move(other.owner_)), core_(std::exchange(other.core_, nullptr)) {}
    publisher& operator=(publisher&& other) noexcept {
        if (this != &other) {
            owner_ = std::move(other.owner_);
            core_ = std::exchange(other.core_, nullptr);
        }
        return *this;
    }
    publisher(const publisher&) = delete;
    publisher& operator=(const publisher&) = delete;
    ~publisher() = default;

    /// A default event in a slot, its routing version already stamped; empty when no slot is free
    /// and from an empty publisher. Never waits.
    [[nodiscard]] claimed<E> claim() noexcept {
        claimed<E> slot = claim_for_overwrite();
        if (slot) {
            traits::reset(*slot);
            traits::set_routing_version(*slot, owner_->version());
        }
        return slot;
    }
    /// The same for a kind that is known already: publishing it later as a kind of the other class
    /// (market data or critical) is reported as a violation; the event still goes where its kind
    /// belongs.
    template <class Kind>
    [[nodiscard]] claimed<E> claim(Kind kind) noexcept {
        claimed<E> slot = claim();
        if (slot) {
            slot->kind = kind;
            slot.declared_ = critical_kind(*slot) ? claimed<E>::declared_class::as_critical
                                                  : claimed<E>::declared_class::as_market;
        }
        return slot;
    }
    /// A slot whose content is unspecified: the caller writes every field, version included.
    [[nodiscard]] claimed<E> claim_for_overwrite() noexcept {
        claimed<E> slot;
        detail::claimed_slot got;
        if (core_ == nullptr || (!core_->claim_next(got) && !claim_slowly(got))) [[unlikely]] {
            return slot;
        }
        slot.core_ = core_;
        slot.slot_ = got;
        slot.event_ = static_cast<E*>(core_->payload(got.index));
        return slot;
    }

    /// Commits the event, waiting at most the publisher's deadline for a blocking subscription. On
    /// sent and no_subscriber the claim is consumed; otherwise it is still the caller's.
    [[nodiscard]] publish_result publish(claimed<E>&& event) noexcept {
        return publish(std::move(event),
                       core_ == nullptr ? std::chrono::nanoseconds{0} : core_->params_.deadline);
    }
    [[nodiscard]] publish_result publish(claimed<E>&& event,
                                         std::chrono::nanoseconds deadline) noexcept {
        publish_result result;
        if (put_next(event, result)) [[likely]] {
            return result;
        }
        claimed<E> moved = std::move(event);  // the caller's own stays in his registers
        result = publish_n({&moved, 1}, deadline);
        event = std::move(moved);
        return result;
    }
    /// Commits the event or fails at once; never waits.
    [[nodiscard]] publish_result try_publish(claimed<E>&& event) noexcept {
        return publish(std::move(event), std::chrono::nanoseconds{0});
    }
    /// Commits a packet at once: no worker sees a part of it before the rest, as long as it fits.
    /// The deadline is that of the whole packet. Empty claims are skipped. On failure the claims
    /// that are still full are the caller's: those from the first that did not fit on.
    [[nodiscard]] publish_result publish_n(std::span<claimed<E>> packet) noexcept {
        return publish_n(packet,
                         core_ == nullptr ? std::chrono::nanoseconds{0} : core_->params_.deadline);
    }
    [[nodiscard]] publish_result publish_n(std::span<claimed<E>> packet,
                                           std::chrono::nanoseconds deadline) noexcept;

    /// Publishes one event and waits until every consumer has handled it, the deadline has passed,
    /// or `stop` is requested. That cancels market data for handlers that have not begun; a
    /// critical event is never cancelled, only the wait for it ends. Inside a handler it is
    /// refused: would_block. Allocates its report.
    [[nodiscard]] wait_report publish_and_wait(claimed<E>&& event, std::stop_token stop = {}) {
        return publish_and_wait(
            std::move(event), std::move(stop),
            core_ == nullptr ? std::chrono::nanoseconds{0} : core_->params_.deadline);
    }
    [[nodiscard]] wait_report publish_and_wait(claimed<E>&& event, std::stop_token stop,
                                               std::chrono::nanoseconds deadline);

    // Of a publisher that is not empty; from any thread.

    /// Places of the market ring that no blocking subscription holds: a feed's back-pressure
    /// signal.
    [[nodiscard]] std::uint32_t approx_free() const noexcept {
        return core_->approx_free(detail::ring_class::market);
    }
    /// The subscription that is furthest behind in the market ring.
    [[nodiscard]] slowest_subscription slowest() const noexcept { return core_->slowest(); }
    /// Refuses every publish from now on (publish_status::halted), by one store. A publish that is
    /// inside already may still commit, or stops waiting.
    void halt() noexcept { core_->halt(); }
    void resume() noexcept { core_->resume(); }
    [[nodiscard]] std::uint32_t number() const noexcept { return core_->number_; }
    [[nodiscard]] std::string_view name() const noexcept { return core_->name_; }
    [[nodiscard]] publisher_stats stats() const { return core_->stats(); }
    [[nodiscard]] explicit operator bool() const noexcept { return core_ != nullptr; }

  private:
    [[nodiscard]] static bool critical_kind(const E& event) noexcept {
        return traits::is_critical(traits::kind(event));
    }
    /// A publish's usual case, whole: a claim of this publisher, room in its ring, somebody wants
    /// it. False: nothing was done, publish_n() knows.
    [[nodiscard]] bool put_next(claimed<E>& event, publish_result& result) noexcept {
        if (core_ == nullptr || event.core_ != core_ ||
            event.declared_ != claimed<E>::declared_class::nothing || !core_->enter_quickly())
            [[unlikely]] {
            return false;
        }
        const std::uint32_t kind = traits::kind(*event.event_);
        const std::uint32_t instrument = traits::instrument(*event.event_);
        const std::uint64_t sequence = traits::is_critical(kind)
                                           ? core_->template put_next<detail::ring_class::critical>(
                                                 event.slot_, kind, instrument)
                                           : core_->template put_next<detail::ring_class::market>(
                                                 event.slot_, kind, instrument);
        core_->leave_quickly();
        if (sequence == 0) [[unlikely]] {
            return false;
        }
        event.core_ = nullptr;
        result.status = publish_status::sent;
        result.sequence = sequence;
        result.count = 1;
        owner_->serve_inline();
        return true;
    }
    [[nodiscard]] bool claim_slowly(detail::claimed_slot& out) noexcept {
        detail::claimed_slot found;  // not `out`, which stays in registers
        if (!core_->enter()) {
            return false;
        }
        const bool any = core_->claim(found);
        core_->leave();
        out = found;
        return any;
    }
    [[nodiscard]] publish_status put_one(claimed<E>& event, detail::wait_budget& budget,
                                         publish_result& result) noexcept;

    std::shared_ptr<detail::engine> owner_;
    detail::publisher_core* core_ = nullptr;
};

template <event_type E>
publish_status publisher<E>::put_one(claimed<E>& event, detail::wait_budget& budget,
                                     publish_result& result) noexcept {
    const std::uint32_t kind = traits::kind(*event);
    const bool critical_event = traits::is_critical(kind);
    if (event.core_ != core_ || event.declared_ != claimed<E>::declared_class::nothing)
        [[unlikely]] {
        if (!core_->check_claim(event.core_, event.slot_,
                                event.declared_ == claimed<E>::declared_class::nothing ||
                                    (event.declared_ == claimed<E>::declared_class::as_critical) ==
                                        critical_event)) {
            return publish_status::misuse;
        }
    }
    if (!owner_->wanted(kind)) [[unlikely]] {
        core_->drop_unwanted(event.slot_, critical_event);
        event.core_ = nullptr;
        return publish_status::no_subscriber;
    }
    const auto ring = critical_event ? detail::ring_class::critical : detail::ring_class::market;
    if (!core_->reserve(ring, budget, result)) [[unlikely]] {
        return result.status;
    }
    if (owner_->masks() != nullptr) [[unlikely]] {
        core_->stamp_mask(ring, kind, traits::instrument(*event));
    }
    core_->place(ring, event.slot_, kind);
    event.core_ = nullptr;
    return publish_status::sent;
}

template <event_type E>
publish_result publisher<E>::publish_n(std::span<claimed<E>> packet,
                                       std::chrono::nanoseconds deadline) noexcept {
    publish_result result;
    if (core_ == nullptr || !core_->enter()) {
        return result;
    }
    if (core_->closed()) {
        result.status = core_->closed_status();
        core_->count_refused();
        core_->leave();
        return result;
    }
    result.status = publish_status::no_subscriber;
    bool any_critical = false;
    detail::wait_budget budget{.deadline = deadline};
    for (claimed<E>& event : packet) {
        if (!event) {
            if (packet.size() == 1) {
                result.status = publish_status::misuse;
            }
            continue;
        }
        const bool critical_event = critical_kind(*event);
        const publish_status status = put_one(event, budget, result);
        if (status == publish_status::sent) {
            any_critical |= critical_event;
            ++result.count;
            result.status = publish_status::sent;
        } else if (status != publish_status::no_subscriber) {
            result.status = status;
            core_->count_refused();
            break;
        }
    }
    if (result.count != 0) {
        result.sequence = core_->commit(any_critical);
    }
    core_->leave();
    owner_->serve_inline();
    return result;
}

template <event_type E>
wait_report publisher<E>::publish_and_wait(claimed<E>&& event, std::stop_token stop,
                                           std::chrono::nanoseconds deadline) {
    using clock = detail::steady_clock;
    wait_report report;
    publish_result& result = report.published;
    if (core_ == nullptr || !event) {
        return report;
    }
    if (detail::handler_depth() != 0) {
        result.status = publish_status::would_block;
        result.held_by = "the handler that publishes";
        return report;
    }
    const bool critical_event = critical_kind(*event);
    if (!critical_event && stop.stop_requested()) {
        result.status = publish_status::cancelled;
        return report;
    }
    const auto begin = clock::now();
    if (!core_->enter()) {
        return report;
    }
    if (core_->closed()) {
        result.status = core_->closed_status();
        core_->count_refused();
        core_->leave();
        return report;
    }
    detail::wait_budget budget{.deadline = deadline};
    core_->await_next(critical_event ? detail::ring_class::critical : detail::ring_class::market,
                      owner_->live());
    result.status = put_one(event, budget, result);
    if (result.status == publish_status::sent) {
        result.sequence = core_->commit(critical_event);
        result.count = 1;
    }
    core_->leave();
    if (result.status != publish_status::sent) {
        report.complete = result.status == publish_status::no_subscriber;
        return report;
    }
    owner_->serve_inline();
    const auto left = deadline - (clock::now() - begin);
    report.complete = core_->await_outcomes(stop, !critical_event, left);
    core_->outcomes(&report.consumers);
    return report;
}

}  // namespace ropeway
