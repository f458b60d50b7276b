// SPDX-License-Identifier: Apache-2.0
//
// What the guards report, to whom, and with what consequence. A violation is a plain value on the
// reporting thread's stack; the handler and the counters are process-wide. Any thread. The library
// itself prints nothing: without a handler, violations are only counted.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include <ropeway/pool/slot.hpp>

namespace ropeway {

/// What went wrong.
enum class violation_kind : std::uint8_t {
    double_put,            ///< put again while it lies in the pool
    put_after_reuse,       ///< put by a former holder while somebody else holds it
    write_after_put,       ///< the payload changed while it lay in the pool
    write_after_publish,   ///< a ring original changed after publish
    stale_read,            ///< a ticket was read after its event had gone back
    foreign_pointer,       ///< not a slot of any pool
    foreign_pool,          ///< a slot of another pool
    wrong_class,           ///< an event's kind changed class between claim and publish
    concurrent_publisher,  ///< one publisher used by two threads at once
    leak,                  ///< still outstanding at the end
};
inline constexpr std::size_t violation_kinds = 10;

[[nodiscard]] std::string_view to_string(violation_kind kind) noexcept;

/// What follows a report, after the handler ran.
enum class violation_policy : std::uint8_t {
    abort,         ///< std::abort(): for tests and debugging
    throw_error,   ///< violation_error from explicit calls; elsewhere as log_and_drop
    log_and_drop,  ///< default: the bad return or hand-out is dropped, the program goes on
};

/// What somebody did with a slot.
enum class slot_action : std::uint8_t {
    none,      ///< not known
    acquired,  ///< took it out of the pool
    put,       ///< gave it back
    lent,      ///< took it as a raw pointer
    handed,    ///< was about to be given it when the fault was found
    read,      ///< read it by ticket
    wrote,     ///< wrote to it
    published,
    claimed,
};
[[nodiscard]] std::string_view to_string(slot_action action) noexcept;

/// One of the two parties of a violation.
struct culprit {
    slot_action action = slot_action::none;
    std::uint16_t site = 0;    ///< see site_text(); 0 = not known
    std::uint16_t thread = 0;  ///< see thread_text(); 0 = not known
    std::uint32_t at_ms = 0;   ///< coarse clock
};

/// One line of a slot's history.
struct slot_record {
    slot_action action = slot_action::none;
    std::uint16_t site = 0;
    std::uint16_t thread = 0;
    std::uint32_t at_ms = 0;
    std::uint32_t generation = 0;
};

inline constexpr std::size_t history_records = 4;
inline constexpr std::size_t stack_frames = 12;

/// One detected misuse. Plain and allocation-free: may be copied out of a handler.
struct violation {
    violation_kind kind = violation_kind::double_put;
    std::array<char, 32> pool{};  ///< the pool's name, 0-terminated
    std::uint32_t pool_number = 0;
    std::uint32_t index = 0;             ///< of the slot
    std::uint32_t generation_held = 0;   ///< what the offender's reference said
    std::uint32_t generation_found = 0;  ///< what the header says
    slot_state state_found = slot_state::free;
    culprit first{};             ///< who did it rightly, or first
    culprit second{};            ///< who did it wrongly, or where it was found
    std::size_t offset = 0;      ///< writes: first changed byte of the payload
    std::uint64_t found = 0;     ///< writes: up to 8 bytes at offset, lowest first
    std::uint64_t expected = 0;  ///< what should have stood there
    std::size_t count = 1;       ///< leaks: slots of this site
    /// The process ends when the handler has returned: a handler that writes elsewhere waits,
    /// within a bound, until its line is out.
    bool ends_process = false;
    std::array<slot_record, history_records> history{};  ///< oldest first; at sampled and full
    std::uint32_t history_size = 0;
    std::array<const void*, stack_frames> first_stack{};   ///< last transition; sampled and full
    std::array<const void*, stack_frames> second_stack{};  ///< of the reporting call
};

/// The report of one violation as one paragraph naming both culprits. Allocates.
[[nodiscard]] std::string to_string(const violation& what);

/// Thrown by explicit calls (recycle*, recycle_raw, peek) of a pool with policy throw_error; what
/// std::terminate finds after a use of an empty lease.
class violation_error : public std::runtime_error {
  public:
    explicit violation_error(const violation& what);
    [[nodiscard]] const violation& what_happened() const noexcept { return what_; }

  private:
    violation what_;
};

/// Called for every violation on the thread that found it; must not call into the pool.
using violation_handler = void (*)(const violation&, void* context) noexcept;

/// Replaces the process-wide handler; nullptr = only count. The former handler may still be running
/// on another thread when this returns, so its context must outlive the program or the pools.
void set_violation_handler(violation_handler handler, void* context) noexcept;

/// Numbers of violations by kind. Any thread adds; readers see each count's latest value.
class violation_counts {
  public:
    void add(violation_kind kind) noexcept {
        // relaxed: a count, on a path that never runs in a right program
        counts_[static_cast<std::size_t>(kind)].fetch_add(1, std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t operator[](violation_kind kind) const noexcept {
        // relaxed: a number for a report
        return counts_[static_cast<std::size_t>(kind)].load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t total() const noexcept;

  private:
    std::array<std::atomic<std::uint64_t>, violation_kinds> counts_{};
};

/// The process-wide counts.
[[nodiscard]] const violation_counts& all_violations() noexcept;

/// Counts the violation, calls the handler, remembers it for this thread, and aborts if the policy
/// says so (the handler then finds `ends_process` set). Never throws: see throw_if_new().
void report_violation(const violation& what, violation_policy policy) noexcept;

/// Violations this thread has reported so far, and the latest of them.
[[nodiscard]] std::uint64_t violations_of_this_thread() noexcept;
[[nodiscard]] const violation& last_violation_of_this_thread() noexcept;

/// For explicit calls: throws violation_error if this thread reported more than `before` violations
/// and the policy is throw_error.
void throw_if_new(std::uint64_t before, violation_policy policy);

}  // namespace ropeway
