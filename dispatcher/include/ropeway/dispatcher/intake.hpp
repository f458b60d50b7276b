// SPDX-License-Identifier: Apache-2.0
//
// A publisher that any number of threads share, for those that have none of their own: events wait
// in a bounded queue, in order per thread, and go on through one publisher. Never waits.
//
// Ownership: an intake is a copyable handle that keeps the dispatcher's engine alive. Thread
// safety: any thread, at any time. Allocation: at make_intake(), and a few hundred bytes at the
// first publish of each thread; nothing per event.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <ropeway/dispatcher/publisher.hpp>
#include <ropeway/dispatcher/threading.hpp>
#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/site.hpp>
#include <ropeway/pool/slot_pool.hpp>
#include <ropeway/pool/thread_number.hpp>

namespace ropeway {

/// An intake.
struct intake_params {
    /// Events that may wait, 64..2^20. Beyond them publish says `full`.
    std::uint32_t capacity = 4096;
    /// The rings that they go on to.
    publisher_params publisher{};
};

namespace detail {

/// An intake without its event type. Owned by the engine.
class intake_core {
  public:
    intake_core(engine& owner, std::string name, slot_pool_params pool);
    intake_core(const intake_core&) = delete;
    intake_core& operator=(const intake_core&) = delete;
    virtual ~intake_core();

    /// Counts the calling thread in; false once closed.
    [[nodiscard]] bool enter() noexcept {
        // seq_cst: in one order with close(): either we see it closed, or it sees us inside.
        inside_.fetch_add(1, std::memory_order_seq_cst);
        if (closed_.load(std::memory_order_seq_cst) == 0) {
            return true;
        }
        leave();
        return false;
    }
    void leave() noexcept {
        inside_.fetch_sub(1, std::memory_order_release);  // pairs with close()
    }
    /// Puts a filled slot at the end of the calling thread's line.
    [[nodiscard]] bool put_in_line(slot_ref event) noexcept;
    /// Lets the waiting events go on, as far as there is room. Any thread; one at a time does it,
    /// and looks once more before it leaves.
    /// True when any went on: inline subscriptions are to be served.
    bool pump() noexcept;
    /// From here on publish is refused; returns when nobody is inside any more.
    void close() noexcept;
    /// After close(), and when nobody pumps: takes what is left.
    [[nodiscard]] bool take_left(slot_ref& out) noexcept;

    [[nodiscard]] slot_pool& pool() noexcept { return pool_; }
    [[nodiscard]] intake_stats stats() const;
    void count_refused() noexcept {
        refused_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    }
    [[nodiscard]] bool waits() const noexcept {
        return waiting_.load(std::memory_order_seq_cst) != 0;
    }
    [[nodiscard]] engine& owner() noexcept { return *owner_; }
    virtual void recycle(slot_ref event) noexcept = 0;
    [[nodiscard]] virtual bool critical(const void* event) const noexcept = 0;

  protected:
    /// Publishes one event; false: not now.
    virtual bool pass_on(slot_ref event) noexcept = 0;

  private:
    struct line;

    [[nodiscard]] bool take(slot_ref& out) noexcept;

    engine* owner_;
    std::string name_;
    slot_pool pool_;
    std::unique_ptr<line> line_;
    atomic<std::uint32_t> inside_{0};
    atomic<std::uint32_t> closed_{0};
    atomic<std::uint32_t> pumping_{0};
    atomic<std::uint64_t> waiting_{0};
    atomic<std::uint64_t> taken_{0};
    atomic<std::uint64_t> refused_{0};
    slot_ref next_{};        ///< guarded by pumping_: taken out of line, and not yet gone on
    bool has_next_ = false;  ///< guarded by pumping_
    bool blocked_ = false;   ///< guarded by pumping_: the next did not go on
};

template <event_type E>
class intake_of final : public intake_core {
  public:
    intake_of(engine& owner, std::string name, slot_pool_params pool, ropeway::publisher<E> out)
        : intake_core(owner, std::move(name), std::move(pool)), out_(std::move(out)) {}

    void recycle(slot_ref event) noexcept override {
        static_cast<void>(owner().returns().template recycle_one<E>(pool(), event));
    }
    [[nodiscard]] bool critical(const void* event) const noexcept override {
        using traits = event_traits<E>;
        return traits::is_critical(traits::kind(*static_cast<const E*>(event)));
    }
    [[nodiscard]] std::string_view slowest() const noexcept { return out_.slowest().name; }

  protected:
    bool pass_on(slot_ref event) noexcept override {
        claimed<E> slot = out_.claim_for_overwrite();
        if (!slot) {
            return false;
        }
        event_traits<E>::clone(*slot, *static_cast<const E*>(pool().payload(event.index)));
        const publish_result result = out_.try_publish(std::move(slot));
        if (!result && result.status != publish_status::stopped) {
            return false;
        }
        recycle(event);
        return true;
    }

  private:
    ropeway::publisher<E> out_;  ///< guarded by pumping_
};

}  // namespace detail

template <event_type E>
class intake {
  public:
    intake() noexcept = default;
    intake(std::shared_ptr<detail::engine> owner, detail::intake_of<E>& core) noexcept
        : owner_(std::move(owner)), core_(&core) {}

    /// Copies the event, with the routing version of now, into the calling thread's line. `sent`:
    /// it goes on after what this thread published before, soon. Never waits: `full` when as many
    /// as `capacity` wait, `stopped` after stop(), no_subscriber when nobody wants the kind.
    publish_result publish(const E& event) noexcept {
        publish_result result;
        if (core_ == nullptr) {
            return result;
        }
        using traits = event_traits<E>;
        if (!core_->enter()) {
            result.status = publish_status::stopped;
            core_->count_refused();
            return result;
        }
        slot_ref slot;
        if (!owner_->wanted(traits::kind(event))) {
            result.status = publish_status::no_subscriber;
        } else if (!core_->pool().try_get(
                       slot, make_meta(known_site::recycler, thread_number(), coarse_now_ms()))) {
            result.status = publish_status::full;
            result.held_by = core_->slowest();
            core_->count_refused();
            static_cast<void>(core_->pump());
        } else {
            E& copy = *static_cast<E*>(core_->pool().payload(slot.index));
            traits::clone(copy, event);
            traits::set_routing_version(copy, owner_->version());
            if (core_->put_in_line(slot)) {
                result.status = publish_status::sent;
                result.count = 1;
                static_cast<void>(core_->pump());
            } else {  // no memory for this thread's line
                core_->recycle(slot);
                core_->count_refused();
                result.status = publish_status::full;
            }
        }
        core_->leave();
        owner_->serve_inline();
        if (core_->waits()) {
            owner_->serve_inline_later();  // for those that were blocked
        }
        return result;
    }
    [[nodiscard]] intake_stats stats() const { return core_->stats(); }
    [[nodiscard]] explicit operator bool() const noexcept { return core_ != nullptr; }

  private:
    std::shared_ptr<detail::engine> owner_;
    detail::intake_of<E>* core_ = nullptr;
};

}  // namespace ropeway
