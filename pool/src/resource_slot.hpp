// SPDX-License-Identifier: Apache-2.0
//
// What a resource pool keeps per slot, beside the resource itself: at most 256 bytes. The lease
// block is for those who take and give back; the task block belongs to the I/O thread alone.
//
//   word: generation 32 | flags 16 | verdict 8 | phase 8
//
// Invariants
// 1. Who may touch the resource follows from the phase: active: the holder; idle: nobody, before
//    he has changed the phase by CAS; every other one: the I/O thread.
// 2. The generation grows when a lease ends, and only then. So (generation, active) names one
//    lease. Its owner ends it: by CAS, or by a plain store where nobody puts flags on leases.
// 3. A slot is told to the I/O thread (return_queue) by whoever put it into `returning`, once.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include <ropeway/pool/cache_line.hpp>
#include <ropeway/pool/check_history.hpp>
#include <ropeway/pool/pooled_resource.hpp>
#include <ropeway/pool/resource_event.hpp>

namespace ropeway::detail {

enum class slot_phase : std::uint8_t {
    empty,        ///< no resource is open
    opening,      ///< the I/O thread opens it
    idle,         ///< ready to be lent
    active,       ///< leased, or taken by a thread that is about to lease it
    returning,    ///< came back and needs the I/O thread: see the verdict
    checking,     ///< taken by the I/O thread for a look or a probe; was idle
    closing,      ///< the I/O thread says goodbye
    quarantined,  ///< failed too often, rests
};

/// What is to be done with a slot in `returning`: a close_reason, or one of these.
enum class slot_verdict : std::uint8_t {
    reset = 0x80,    ///< came back dirty
    probe = 0x81,    ///< doubtful, and nobody asked it yet
    probing = 0x82,  ///< asked, and the caller's time was over before the answer
    none = 0xFF,
};

namespace lease_word {
inline constexpr std::uint64_t phase_mask = 0xFF;
inline constexpr std::uint64_t verdict_mask = 0xFF00;
inline constexpr std::uint64_t retire = 0x1'0000;     ///< close it at its return
inline constexpr std::uint64_t doomed = 0x2'0000;     ///< its holder says it is broken
inline constexpr std::uint64_t overdue = 0x4'0000;    ///< reported as a leak
inline constexpr std::uint64_t forced = 0x8'0000;     ///< held beyond the end of the pool
inline constexpr std::uint64_t returned = 0x10'0000;  ///< by ticket, and its return goes on
inline constexpr std::uint64_t flag_mask = 0xFFFF'0000;

[[nodiscard]] constexpr std::uint64_t make(std::uint32_t generation, slot_phase phase,
                                           std::uint64_t flags = 0,
                                           std::uint8_t verdict = 0) noexcept {
    return (std::uint64_t{generation} << 32) | flags | (std::uint64_t{verdict} << 8) |
           static_cast<std::uint64_t>(phase);
}
[[nodiscard]] constexpr slot_phase phase(std::uint64_t word) noexcept {
    return static_cast<slot_phase>(word & phase_mask);
}
[[nodiscard]] constexpr std::uint32_t generation(std::uint64_t word) noexcept {
    return static_cast<std::uint32_t>(word >> 32);
}
[[nodiscard]] constexpr std::uint8_t verdict(std::uint64_t word) noexcept {
    return static_cast<std::uint8_t>(word >> 8);
}
/// The same generation and no flags.
[[nodiscard]] constexpr std::uint64_t into(std::uint64_t word, slot_phase phase) noexcept {
    return make(generation(word), phase);
}
}  // namespace lease_word

/// Site and thread of the latest acquire and of the latest return, 16 bits each.
namespace lease_who {
[[nodiscard]] constexpr std::uint64_t acquired(std::uint16_t site, std::uint16_t thread) noexcept {
    return std::uint64_t{site} | (std::uint64_t{thread} << 16);
}
[[nodiscard]] constexpr std::uint64_t returned(std::uint64_t who, std::uint16_t site,
                                               std::uint16_t thread) noexcept {
    return (who & 0xFFFF'FFFF) | (std::uint64_t{site} << 32) | (std::uint64_t{thread} << 48);
}
[[nodiscard]] constexpr std::uint16_t acquire_site(std::uint64_t who) noexcept {
    return static_cast<std::uint16_t>(who);
}
[[nodiscard]] constexpr std::uint16_t acquire_thread(std::uint64_t who) noexcept {
    return static_cast<std::uint16_t>(who >> 16);
}
[[nodiscard]] constexpr std::uint16_t return_site(std::uint64_t who) noexcept {
    return static_cast<std::uint16_t>(who >> 32);
}
[[nodiscard]] constexpr std::uint16_t return_thread(std::uint64_t who) noexcept {
    return static_cast<std::uint16_t>(who >> 48);
}
}  // namespace lease_who

/// Set in acquired_at where the lease is timed by the processor's counter.
inline constexpr std::uint64_t timed_lease = 1;

inline constexpr std::size_t lease_frames = 6;

[[nodiscard]] constexpr std::uint16_t low_half(std::uint32_t generation) noexcept {
    return static_cast<std::uint16_t>(generation);
}

/// Written by the holder, but for the word's flags; read by anybody for reports. Stamps are in the
/// units of lease_stamps.
struct alignas(cache_block) lease_block {
    std::atomic<std::uint64_t> word{lease_word::make(1, slot_phase::empty)};
    std::atomic<pooled_resource*> resource{nullptr};  ///< set before the first open, then constant
    std::atomic<std::uint64_t> acquired_at{0};
    std::atomic<std::uint64_t> returned_at{0};
    std::atomic<std::uint64_t> who{0};     ///< see lease_who
    std::atomic<std::uint64_t> number{0};  ///< of the resource, from 1; by the I/O thread
    /// The value of `released` at which this resource has been used enough.
    std::atomic<std::uint64_t> ends_at{~std::uint64_t{0}};
    std::atomic<std::uint64_t> acquired{0};  ///< leases of this slot
    std::atomic<std::uint64_t> waited{0};    ///< of them, after a wait
    std::atomic<std::uint64_t> released{0};
    std::array<std::atomic<const void*>, lease_frames> stack{};
};
static_assert(sizeof(lease_block) == cache_block);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

/// What the I/O thread keeps of a slot; nobody else reads it while that thread runs.
struct task_block {
    std::unique_ptr<pooled_resource> owned{};
    resource_clock_point opened_at{};                               ///< end of its open
    resource_clock_point expires_at = resource_clock_point::max();  ///< max_age, less its jitter
    resource_clock_point checked_at{};                    ///< last time its other end answered
    resource_clock_point began_at{};                      ///< of the task in progress
    resource_clock_point deadline{};                      ///< of the task in progress
    resource_clock_point resume_at{};                     ///< see resource_step::after
    [[no_unique_address]] check_history history{};        ///< the next three lie in its last bytes
    close_reason retire_reason = close_reason::shutdown;  ///< of flag_retire
    std::uint16_t retired = 0;  ///< the leases of the flags below, by their generations' low halves
    std::uint16_t overdue = 0;
    std::uint64_t idled_at = 0;  ///< stamp at which this thread made it idle last
    /// Stamp of its last use, where only probes came since; 0: it was used, or opened, since.
    std::uint64_t unused_since = 0;
    int fd = -1;                    ///< what the task polls
    int watch_fd = -1;              ///< what is polled while it lies idle
    std::uint32_t watch_inode = 0;  ///< of what watch_fd was then: numbers are used again
    std::uint8_t events = 0;        ///< POLLIN, POLLOUT
    bool running : 1 = false;       ///< a task is in progress
    bool retire : 1 = false;        ///< close it instead of making it idle
    bool told_close : 1 = false;    ///< on_close was called
    bool flag_retire : 1 = false;   ///< put on a lease whose end is not seen yet
    bool flag_overdue : 1 = false;  ///< the same
    bool forced : 1 = false;        ///< its lease outlasted the pool's end: counted, and told
    resource_task task = resource_task::open;
    close_reason reason = close_reason::shutdown;
};
/// Beside the two blocks: a pollfd and the number of its slot.
inline constexpr std::size_t poll_bytes = 8 + 4;
inline constexpr std::size_t slot_bytes = sizeof(lease_block) + sizeof(task_block) + poll_bytes;
static_assert(slot_bytes <= 256);

}  // namespace ropeway::detail
