// SPDX-License-Identifier: Apache-2.0
//
// Construction, start, orders and end of a resource_core, and the doors to its parts.
#include <algorithm>
#include <array>
#include <atomic>
#include <limits>
#include <random>
#include <stdexcept>
#include <utility>

#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/process_barrier.hpp>

#include "resource_parts.hpp"
#include "stack_walk.hpp"

namespace ropeway::detail {

namespace {

std::uint64_t next_id() noexcept {
    static constinit std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;  // relaxed: only uniqueness matters
}

std::uint64_t seed_of(const resource_pool_params& params) {
    return params.seed != 0 ? params.seed
                            : (std::uint64_t{std::random_device{}()} << 32) | next_id();
}

std::int64_t probe_after(const resource_pool_params& params, bool ticks) noexcept {
    if (params.validate == validation::passive_only) {
        return std::numeric_limits<std::int64_t>::max();
    }
    if (params.validate == validation::always) {
        return std::numeric_limits<std::int64_t>::min();
    }
    const auto ns = std::chrono::nanoseconds{params.validate_after}.count();
    return ticks ? static_cast<std::int64_t>(tick_clock::from_ns(static_cast<std::uint64_t>(ns)))
                 : ns;
}

/// A lease that is held longer is recorded by itself: some ticks of the slow clock.
constexpr std::uint64_t hold_limit_ns = 6'000'000;

/// Acquire and return need nothing but the slot.
bool is_plain(const resource_pool_params& params) noexcept {
    return params.reserved == 0 && params.order == idle_order::last_used &&
           !params.observe_leases && !params.hooks.before_acquire && !params.hooks.after_release;
}

/// Limits so short that the slow clock's ticks would show.
bool needs_clock(const resource_pool_params& params) noexcept {
    using std::chrono::milliseconds;
    return (params.validate == validation::if_idle && params.validate_after < milliseconds{200}) ||
           (params.leak_timeout.count() != 0 && params.leak_timeout < milliseconds{500});
}

resource_time& time_of(const resource_pool_params& params) noexcept {
    return params.time != nullptr ? *params.time : real_resource_time();
}

/// The first pools that live: an empty lease may outlive its pool, and what reports a use of it
/// must not look into a pool that is gone. A pool beyond them is not named in that one report.
constinit std::array<std::atomic<const resource_core*>, 256> living{};

// relaxed (all): compared, never followed; who uses a lease knows that its pool was made
void enter_living(const resource_core* core) noexcept {
    for (auto& cell : living) {
        const resource_core* expected = nullptr;
        if (cell.compare_exchange_strong(expected, core, std::memory_order_relaxed,
                                         std::memory_order_relaxed)) {
            return;
        }
    }
}
void leave_living(const resource_core* core) noexcept {
    for (auto& cell : living) {
        if (cell.load(std::memory_order_relaxed) == core) {
            cell.store(nullptr, std::memory_order_relaxed);
            return;
        }
    }
}
bool is_living(const resource_core* core) noexcept {
    return core != nullptr && std::any_of(living.begin(), living.end(), [core](const auto& cell) {
               return cell.load(std::memory_order_relaxed) == core;
           });
}

}  // namespace

resource_core::parts::parts(resource_core& owner, make_resource make, resource_pool_params params)
    : owner_(owner),
      make_(std::move(make)),
      params_(std::move(params)),
      time_(time_of(params_)),
      ticks_(&time_ == &real_resource_time()),
      ns_per_tick_(ticks_ ? tick_clock::calibration().ns_per_tick : 1.0),
      probe_after_(probe_after(params_, ticks_)),
      id_(next_id()),
      plain_(is_plain(params_)),
      light_(plain_ && prepare_process_barrier()),
      precise_(!ticks_ || needs_clock(params_)),
      long_hold_(precise_ ? std::numeric_limits<std::int64_t>::min()
                          : static_cast<std::int64_t>(tick_clock::from_ns(hold_limit_ns))),
      min_size_(params_.min_size),
      max_size_(params_.max_size),
      random_(seed_of(params_)),
      live_(params_.liveness),
      schedule_(params_.reconnect, random_) {
    leak_times_.reserve(16);
}

resource_core::parts::~parts() {
    if (!at_home()) {
        // A fork: the resources are the parent's, and so is the thread. They are left alone.
        for (task_block& each : tasks_) {
            static_cast<void>(each.owned.release());
        }
        return;
    }
    shutdown(std::chrono::seconds{1});
    report_leaks();
}

std::optional<pool_error> resource_core::parts::start() {
    caller_deadline deadline{time_, std::chrono::hours{24}};
    {
        const std::lock_guard hold(end_lock_);
        if (!at_home() || running_ || ended_report_) {
            return std::move(*failed(resource_error_kind::closed, deadline).error);
        }
        began_ = deadline.began();
        upkeep_at_ = began_ + params_.maintenance_interval;
        live_told_at_ = began_;
        // relaxed: a number
        started_at_.store(began_.time_since_epoch().count(), std::memory_order_relaxed);
        std::string name = params_.name.substr(0, 12);
        time_.start(*this, name + " io");
        running_ = true;
    }
    wake();
    // acquire: pairs with end_start() and shutdown()
    for (std::uint32_t word = start_words::waits;
         word == start_words::waits || word == start_words::help;
         word = start_word_.load(std::memory_order_acquire)) {
        // relaxed: lent_open_ hands the slot over
        if (word == start_words::help &&
            start_word_.compare_exchange_strong(word, start_words::waits, std::memory_order_relaxed,
                                                std::memory_order_relaxed)) {
            open_for_start();
        } else if (word == start_words::waits) {
            time_.wait(start_word_, word, time_.now() + std::chrono::seconds{1});
        }
    }
    bool ended = false;
    {
        const std::lock_guard hold(lock_);
        // relaxed: it was acquired above, and changes under lock_ from here on
        const std::uint32_t answer = start_word_.load(std::memory_order_relaxed);
        if (answer == start_words::started) {
            door_.fetch_and(~door_bits::closed, std::memory_order_seq_cst);  // invariant 1
            return std::nullopt;
        }
        ended = answer == start_words::ends;
    }
    if (ended) {
        return std::move(*failed(resource_error_kind::closed, deadline).error);
    }
    resource_error_kind kind = resource_error_kind::unavailable;
    {
        const std::lock_guard hold(figures_lock_);
        kind = open_error_ ? open_error_.kind : kind;
    }
    core_acquired why = failed(kind, deadline);
    shutdown(std::chrono::nanoseconds{0});
    return std::move(*why.error);
}

void resource_core::parts::resize(std::uint32_t min_size, std::uint32_t max_size) {
    resource_pool_params wanted;
    wanted.min_size = min_size;
    wanted.max_size = max_size;
    wanted.reserved = params_.reserved;
    static_cast<void>(checked(std::move(wanted)));
    if (!at_home()) {
        return;
    }
    {
        const std::lock_guard hold(size_lock_);
        // relaxed (both): orders; the release below goes with them
        const std::uint32_t before = max_size_.load(std::memory_order_relaxed);
        min_size_.store(min_size, std::memory_order_relaxed);
        max_size_.store(max_size, std::memory_order_relaxed);
        resized_from_.store(before, std::memory_order_release);  // pairs with tell_orders()
    }
    wake();
}

void resource_core::parts::wake() noexcept {
    if (at_home()) {
        woken_.store(true, std::memory_order_release);  // pairs with only_ticks()
        time_.wake(*this);
    }
}

// ---

resource_core::resource_core(make_resource make, resource_pool_params params)
    : parts_(std::make_unique<parts>(*this, std::move(make), std::move(params))) {
    enter_living(this);
}
resource_core::~resource_core() { leave_living(this); }

std::optional<pool_error> resource_core::start() { return parts_->start(); }

core_acquired resource_core::acquire(std::chrono::nanoseconds timeout, bool priority, site where) {
    return parts_->acquire(timeout, priority, where);
}
core_lease resource_core::try_acquire(site where) noexcept { return parts_->try_acquire(where); }
bool resource_core::give_back(lease_ticket ticket, site where) {
    return parts_->give_back(ticket, where);
}
pooled_resource* resource_core::peek(lease_ticket ticket) noexcept { return parts_->peek(ticket); }
resource_snapshot resource_core::snapshot() const noexcept { return parts_->snapshot(); }
resource_times resource_core::times() const { return parts_->times(); }
std::vector<lease_holder> resource_core::holders() const { return parts_->holders(); }
leak_report resource_core::leak_report() const { return parts_->leaks(); }
resource_error resource_core::last_error() const { return parts_->last_error(); }
void resource_core::resize(std::uint32_t min_size, std::uint32_t max_size) {
    parts_->resize(min_size, max_size);
}
void resource_core::soft_evict() noexcept {
    if (!parts_->at_home()) {
        return;
    }
    parts_->evict_.store(true, std::memory_order_release);  // pairs with look_at_idle()
    parts_->wake();
}
void resource_core::suspend() noexcept {
    if (!parts_->at_home()) {
        return;
    }
    {
        const std::lock_guard hold(parts_->lock_);
        parts_->door_.fetch_or(door_bits::suspended, std::memory_order_seq_cst);  // invariant 1
        parts_->suspend_told_.store(1, std::memory_order_release);  // pairs with tell_orders()
    }
    parts_->wake();
}
void resource_core::resume() noexcept {
    if (!parts_->at_home()) {
        return;
    }
    {
        const std::lock_guard hold(parts_->lock_);
        parts_->door_.fetch_and(~door_bits::suspended, std::memory_order_seq_cst);  // invariant 1
        parts_->suspend_told_.store(2, std::memory_order_release);  // pairs with tell_orders()
    }
    parts_->serve_waiters();
    parts_->wake();
}
resource_shutdown_report resource_core::shutdown(std::chrono::nanoseconds deadline) {
    return parts_->shutdown(deadline);
}

bool give_back(const lease_origin& lease, site_id where) noexcept {
    return lease.core->give_back_lease(lease, where);
}
bool resource_core::give_back_lease(const lease_origin& lease, site_id where) noexcept {
    return parts_->give_back(lease, where);
}
void add_uses(const lease_origin& lease, std::uint64_t uses) noexcept {
    lease.core->add_lease_uses(lease, uses);
}
void resource_core::add_lease_uses(const lease_origin& lease, std::uint64_t uses) noexcept {
    parts_->add_uses(lease, uses);
}
void doom(const lease_origin& lease) noexcept { lease.core->doom_lease(lease); }
void resource_core::doom_lease(const lease_origin& lease) noexcept { parts_->doom(lease); }

violation resource_core::describe_empty_use(const lease_origin& lease) const noexcept {
    return parts_->describe(violation_kind::stale_read, lease.slot, lease.generation,
                            {.action = slot_action::read, .site = 0, .thread = thread_number()});
}

namespace {
/// Apart from its caller, which is noexcept: so std::terminate has the text.
[[noreturn]] void end_with(const violation& what) { throw violation_error{what}; }
}  // namespace

void report_empty_use(const lease_origin& lease) noexcept {
    violation what;
    if (is_living(lease.core)) {
        what = lease.core->describe_empty_use(lease);
    } else {
        what.kind = violation_kind::stale_read;
        what.index = lease.slot;
        what.generation_held = lease.generation;
        what.second = {.action = slot_action::read,
                       .site = 0,
                       .thread = thread_number(),
                       .at_ms = advance_coarse_clock()};
        walk_stack(what.second_stack);
    }
    what.ends_process = true;
    report_violation(what, violation_policy::log_and_drop);
    end_with(what);
}

}  // namespace ropeway::detail
