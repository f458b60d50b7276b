// SPDX-License-Identifier: Apache-2.0
//
// What the pool's tests share: a recorder of violations, a barrier that spins, and event types that
// are not market_event. Used by one test at a time.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include <ropeway/pool/event_pool.hpp>
#include <ropeway/pool/market_event.hpp>
#include <ropeway/pool/violation.hpp>

namespace ropeway_test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

/// A second handle to the same event, made the way it happens in programs: a copy of its bytes.
class forged_handle {
  public:
    explicit forged_handle(const ropeway::pooled<ropeway::market_event>& of) noexcept {
        std::memcpy(&bytes_, static_cast<const void*>(&of), sizeof(of));
    }
    ropeway::pooled<ropeway::market_event>& operator*() noexcept {
        return *std::launder(reinterpret_cast<ropeway::pooled<ropeway::market_event>*>(&bytes_));
    }

  private:
    static constexpr std::size_t size = sizeof(ropeway::pooled<ropeway::market_event>);
    alignas(ropeway::pooled<ropeway::market_event>) std::array<std::byte, size> bytes_;
};

/// Parameters of the misuse tests' pools.
[[nodiscard]] inline ropeway::pool_params misused_pool(ropeway::guard_level level,
                                                       ropeway::recycler& back,
                                                       std::uint32_t slots = 64) {
    ropeway::pool_params params;
    params.name = "misused";
    params.slots = slots;
    params.guard = level;
    params.back = &back;
    return params;
}

/// Takes the place of the violation handler while it lives, and keeps the first violations.
class recorder {
  public:
    recorder() : kept_(std::make_unique<std::array<ropeway::violation, most>>()) {
        ropeway::set_violation_handler(&keep, this);
    }
    recorder(const recorder&) = delete;
    recorder& operator=(const recorder&) = delete;
    ~recorder() { ropeway::set_violation_handler(nullptr, nullptr); }

    /// All violations so far; for the main thread, while no other reports.
    [[nodiscard]] std::size_t count() const { return count_.load(std::memory_order_acquire); }
    [[nodiscard]] std::size_t count(ropeway::violation_kind kind) const {
        return by_kind_[static_cast<std::size_t>(kind)].load(std::memory_order_acquire);
    }
    [[nodiscard]] const ropeway::violation& at(std::size_t i) const { return (*kept_)[i]; }
    [[nodiscard]] const ropeway::violation& last() const { return (*kept_)[count() - 1]; }
    void clear() {
        count_.store(0, std::memory_order_release);
        for (auto& n : by_kind_) {
            n.store(0, std::memory_order_release);
        }
    }

  private:
    static constexpr std::size_t most = 512;
    static void keep(const ropeway::violation& what, void* self) noexcept {
        auto& to = *static_cast<recorder*>(self);
        const std::size_t at = to.count_.fetch_add(1, std::memory_order_acq_rel);
        if (at < most) {
            (*to.kept_)[at] = what;
        }
        to.by_kind_[static_cast<std::size_t>(what.kind)].fetch_add(1, std::memory_order_acq_rel);
    }

    std::unique_ptr<std::array<ropeway::violation, most>> kept_;
    std::atomic<std::size_t> count_{0};
    std::array<std::atomic<std::size_t>, ropeway::violation_kinds> by_kind_{};
};

/// All of `parties` threads pass together, again and again.
class spin_barrier {
  public:
    explicit spin_barrier(unsigned parties) : parties_(parties) {}
    void wait() noexcept {
        const unsigned round = round_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == parties_) {
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return;
        }
        for (unsigned spins = 0; round_.load(std::memory_order_acquire) == round; ++spins) {
            if (spins > 200) {
                std::this_thread::yield();
            } else {
                ropeway::spin_pause();
            }
        }
    }

  private:
    const unsigned parties_;
    std::atomic<unsigned> arrived_{0};
    std::atomic<unsigned> round_{0};
};

/// A user's own event: other member names, so it needs its own traits.
struct tick {
    std::uint16_t what = 0;  ///< 0 = heartbeat, 1 = order
    std::uint64_t epoch = 0;
    double value = 0;
};

/// A user's own event that is not trivially copyable.
struct note {
    std::uint32_t kind = 0;
    std::uint64_t routing_version = 0;
    std::string text;
    std::vector<int> numbers;
};

}  // namespace ropeway_test

template <>
struct ropeway::event_traits<ropeway_test::tick> : ropeway::event_traits_base<ropeway_test::tick> {
    using tick = ropeway_test::tick;
    [[nodiscard]] static std::uint32_t kind(const tick& e) noexcept { return e.what; }
    [[nodiscard]] static bool is_critical(std::uint32_t kind) noexcept { return kind != 0; }
    [[nodiscard]] static std::uint64_t routing_version(const tick& e) noexcept { return e.epoch; }
    static void set_routing_version(tick& e, std::uint64_t v) noexcept { e.epoch = v; }
};

template <>
struct ropeway::event_traits<ropeway_test::note> : ropeway::event_traits_base<ropeway_test::note> {
    using note = ropeway_test::note;
    [[nodiscard]] static std::uint32_t kind(const note& e) noexcept { return e.kind; }
    static void clone(note& to, const note& from) noexcept { to = from; }
    /// Keeps the text's and the numbers' memory for the next life.
    static void reset(note& e) noexcept {
        e.kind = 0;
        e.routing_version = 0;
        e.text.clear();
        e.numbers.clear();
    }
};
