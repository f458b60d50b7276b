// SPDX-License-Identifier: Apache-2.0
//
// Construction, registration and statistics of the engine.
#include <ropeway/dispatcher/engine.hpp>

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <utility>

#include <ropeway/dispatcher/intake.hpp>
#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/site.hpp>
#include <ropeway/pool/thread_number.hpp>

#include "failure_queue.hpp"
#include "mask_table.hpp"
#include "params_check.hpp"
#include "spin.hpp"
#include "supervisor.hpp"
#include "system.hpp"
#include "worker_group.hpp"

namespace ropeway::detail {
namespace {

constexpr std::uint32_t kept_per_subscription = 1024;

/// What events need that handlers kept past the end of their dispatcher.
struct home_of_retained {
    std::unique_ptr<slot_pool> duplicates;
    std::unique_ptr<slot_pool> kept;
    std::unique_ptr<recycler> back;
};

/// Nobody knows when the last of them comes back, so their pools stay until the process ends.
void keep_for_ever(home_of_retained home) {
    static std::mutex guard;
    static auto& homes = *new std::vector<home_of_retained>;
    const std::lock_guard lock{guard};
    homes.push_back(std::move(home));
}

void delete_interest(const interest* wanted) noexcept {
    std::unique_ptr<const interest>{wanted}.reset();
}

/// Enough that a worker never finds the pool empty: leftovers of every subscription's inboxes, and
/// what threads park in their magazines.
std::uint32_t duplicates_for(std::uint32_t subscriptions, std::uint32_t threads) noexcept {
    return 2 * batch_size * subscriptions + 4 * batch_size * threads;
}

}  // namespace

engine::engine(dispatcher_params params, slab_ops ops, std::size_t slot_size, build_tag /*tag*/)
    : params_(checked(std::move(params))), ops_(ops), slot_size_(slot_size) {
    fence_at_wake_ = !prepare_barrier();
    const auto count_of = [](const worker_params& group) {
        return group.count != 0 ? group.count : std::max(1U, processors_allowed() - 1);
    };
    add_group(std::move(params_.workers), count_of(params_.workers));
    params_.workers = groups_[0]->params;
    workers_ = groups_[0]->workers;
    for (worker_params& group : params_.groups) {
        workers_ += add_group(std::move(group), count_of(group)).workers;
    }
    params_.groups.clear();
    supervisor_ = std::make_unique<supervisor>();
    const std::uint32_t slots =
        params_.duplicate_slots != 0
            ? params_.duplicate_slots
            : duplicates_for(params_.max_subscriptions,  // each may have a thread of its own
                             workers_ + params_.max_publishers + params_.max_subscriptions);
    in_range("dispatcher_params::duplicate_slots", slots, 8 * workers_, 1U << 24U);
    slot_pool_params pool;
    pool.storage = storage(" duplicates", slots, params_.guard);
    pool.storage.meta = meta_use::site;
    // All workers together park at most half of a pool that the user made small.
    pool.magazine_entries = std::clamp(slots / (4 * workers_), 1U, batch_size);
    pool.max_threads = workers_ + 64;  // and those that stop, unsubscribe or were here before
    duplicates_ = std::make_unique<slot_pool>(std::move(pool));
    make_kept();
    failures_ = std::make_unique<failure_queue>(params_.failure_capacity, params_.failure_wait);
    subscriptions_ = std::make_unique<subscription_core[]>(params_.max_subscriptions);
    for (std::uint32_t i = 0; i < params_.max_subscriptions; ++i) {
        subscriptions_[i].number = i;
    }
    losses_ = std::make_unique<loss_watch>(params_.max_publishers, params_.max_subscriptions);
}

slab_params engine::storage(const std::string& of, std::uint32_t slots, guard_level guard) const {
    slab_params out;
    out.name = params_.name + of;
    out.slots = slots;
    out.slot_bytes = slot_size_;
    out.guard = guard;
    out.memory = params_.memory;
    out.prepare = params_.prepare;
    out.first_generation = params_.starts.generation;
    out.policy = params_.on_violation;
    out.ops = ops_;
    return out;
}

void engine::make_kept() {
    const std::uint32_t slots = params_.kept_slots != 0
                                    ? params_.kept_slots
                                    : kept_per_subscription * params_.max_subscriptions;
    in_range("dispatcher_params::kept_slots", slots, 64, 1U << 23U);
    slot_pool_params pool;
    pool.storage = storage(" kept events", slots, params_.guard);
    pool.storage.meta = meta_use::site;
    // Publishers get and workers put, so what a thread parks is out of reach of the others.
    const std::uint32_t threads = workers_ + params_.max_publishers;
    pool.magazine_entries = std::clamp(slots / (16 * threads), 1U, 16U);
    pool.max_threads = workers_ + 64;
    kept_ = std::make_unique<slot_pool>(std::move(pool));
    kept_spans_ = std::make_unique<kept_span_cell[]>(slots);
}

engine::~engine() {
    supervisor_->stop();
    for (std::uint32_t i = 0; i < params_.max_subscriptions; ++i) {
        subscription_core& sub = subscriptions_[i];
        if (sub.face.object != nullptr) {
            static_cast<void>(discard_all(sub));
            sub.face.destroy(std::exchange(sub.face.object, nullptr));
        }
        delete_interest(sub.interested.load(std::memory_order_relaxed));  // relaxed: the last one
    }
    std::unique_ptr<const mask_table>{masks_.load(std::memory_order_relaxed)}.reset();  // the last
    if (duplicates_->outstanding() + kept_->outstanding() != 0) {
        keep_for_ever({std::move(duplicates_), std::move(kept_), std::move(recycler_)});
    }
}

failure_sink& engine::failures() noexcept { return *failures_; }

std::size_t engine::drain_failures(std::span<failure_record> out) noexcept {
    return failures_->take(out);
}

std::span<const std::unique_ptr<publisher_core>> engine::publishers() const noexcept {
    // Acquire pairs with add_publisher(): the publishers counted are complete.
    return {publishers_.data(), publisher_count_.load(std::memory_order_acquire)};
}

worker_group& engine::add_group(worker_params params, unsigned workers, bool own) {
    const std::uint32_t number = group_count();
    groups_[number] = std::make_unique<worker_group>(*this, number, std::move(params), workers);
    groups_[number]->own = own;
    // Relaxed: the count publishes it.
    groups_[number]->life.store(own ? worker_group::vacant : worker_group::active,
                                std::memory_order_relaxed);
    group_count_.store(number + 1, std::memory_order_release);  // pairs with group_count()
    return *groups_[number];
}

std::uint32_t engine::group_named(std::string_view name) const {
    std::string all;
    for (std::uint32_t i = 0; i < group_count(); ++i) {
        if (groups_[i]->own) {
            continue;
        }
        if (name.empty() || groups_[i]->params.name == name) {
            return i;
        }
        all += (all.empty() ? "\"" : ", \"") + groups_[i]->params.name + "\"";
    }
    throw std::invalid_argument("subscription_params::group is \"" + std::string{name} +
                                "\", and the groups of workers are " + all + ".");
}

publisher_core& engine::add_publisher(std::string_view name, const publisher_params& params) {
    power_of_two("publisher_params::market_capacity", params.market_capacity);
    power_of_two("publisher_params::critical_capacity", params.critical_capacity);
    in_range("publisher_params::spare_claims", params.spare_claims, 1, 65536);
    in_range("publisher_params::deadline (ns)", params.deadline.count(), 0,
             std::chrono::nanoseconds::max().count());
    const std::lock_guard lock{registry_};
    const auto number = static_cast<std::uint32_t>(publishers().size());
    if (number == params_.max_publishers) {
        throw std::length_error("publisher \"" + std::string{name} + "\": all " +
                                std::to_string(number) +
                                " publishers were made. Raise dispatcher_params::max_publishers.");
    }
    slab_params slots = storage("/" + std::string{name},
                                params.market_capacity + params.critical_capacity +
                                    params.spare_claims + batch_size * params_.max_subscriptions,
                                duplicates_->storage().level());
    publishers_[number] = std::make_unique<publisher_core>(*this, number, std::string{name}, params,
                                                           std::move(slots));
    publisher_core& made = *publishers_[number];
    for (std::uint64_t left = live(); left != 0; left &= left - 1) {
        subscription_core& sub = subscriptions_[static_cast<std::uint32_t>(std::countr_zero(left))];
        made.make_store(sub);
        sub.first_sequence[number] = 2 * params_.starts.position + 1;
        prepare_cursor(made, sub);
        for (const ring& places : made.rings) {
            // Relaxed: the release of publisher_count_ below publishes it. Market data stays closed
            // to one that was disconnected.
            const bool open =
                &places != &made.rings[0] ||
                sub.market_data.load(std::memory_order_relaxed) == subscription_core::connected;
            places.cursors[sub.number].cursor.store(
                open ? cursor_word::at(params_.starts.position) : cursor_word::closed_bit,
                std::memory_order_relaxed);
        }
    }
    // Relaxed: a stopped engine stays stopped; release pairs with publishers().
    made.closed_.store(stopped_ ? publisher_core::stopped : publisher_core::open,
                       std::memory_order_relaxed);
    publisher_count_.store(number + 1, std::memory_order_release);
    kept_->prepare_thread();  // it most likely publishes
    return made;
}

std::uint32_t engine::vacant_number() const {
    // Acquire pairs with finish_removal(): the block's former life is over.
    const std::uint64_t taken = taken_numbers_.load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < params_.max_subscriptions; ++i) {
        if ((taken & bit_of(i)) == 0) {
            return i;
        }
    }
    throw std::length_error("all " + std::to_string(params_.max_subscriptions) +
                            " subscriptions live already. Raise "
                            "dispatcher_params::max_subscriptions (at most 64).");
}

subscription_core& engine::add_subscription(std::string_view name, overflow policy,
                                            subscription_params params, consumer_face face,
                                            const std::vector<subscription_core*>& after) {
    std::unique_ptr<void, void (*)(void*)> holder{face.object, face.destroy};
    check(name, params);
    if ((params.timer.count() != 0) != (face.timer != nullptr)) {
        throw std::invalid_argument(
            "subscription \"" + std::string{name} + "\": " +
            (face.timer != nullptr
                 ? "its handler has on_timer(), and subscription_params::timer is 0. Say how often."
                 : "subscription_params::timer is set, and its handler has no on_timer()."));
    }
    check_conflatable(name, policy, params.kinds, face);
    const std::lock_guard lock{registry_};
    if (stopped_) {
        throw std::logic_error("subscription \"" + std::string{name} +
                               "\": subscribe() after stop(): make a new dispatcher.");
    }
    std::uint32_t group = 0;
    subscription_core& sub = subscriptions_[vacant_number()];
    std::sort(params.instruments.begin(), params.instruments.end());
    auto wanted = std::make_unique<const interest>(
        interest{.kinds = params.kinds, .instruments = std::move(params.instruments)});
    switch (params.execution) {
        case execution_mode::group: group = group_named(params.group); break;
        case execution_mode::inline_: break;
        case execution_mode::own_thread: group = own_group(name, params).number; break;
    }
    sub.group = group;
    sub.policy = policy;
    sub.was_lossy = policy != overflow::block;
    sub.delivery = params.delivery;
    sub.execution = params.execution;
    sub.order = params.order;
    sub.backlog_capacity = params.backlog;
    sub.conflation_keys = params.conflation_keys;
    sub.name = std::string{name};
    sub.site = intern_site(name, 0);
    for (const auto& from : publishers()) {
        from->make_store(sub);
    }
    renew_masks(sub.number, wanted.get());
    duplicates_->name_holder(sub.site, name);
    kept_->name_holder(sub.site, name);
    if (sub.execution == execution_mode::own_thread) {
        begin_own(*groups_[group]);
    }
    sub.face = face;
    static_cast<void>(holder.release());
    // Relaxed throughout: nobody serves it yet.
    delete_interest(sub.interested.exchange(wanted.release(), std::memory_order_relaxed));
    sub.draining.store(subscription_core::flows, std::memory_order_relaxed);
    sub.timer_due.store(0, std::memory_order_relaxed);
    const std::uint64_t period =
        tick_clock::from_ns(static_cast<std::uint64_t>(params.timer.count()));
    sub.timer_ticks.store(period, std::memory_order_relaxed);
    sub.timer_next.store(tick_clock::now() + period, std::memory_order_relaxed);
    sub.followed.store(0, std::memory_order_relaxed);
    sub.to_announce.store(0, std::memory_order_relaxed);
    follow(sub, after);
    sub.acknowledged.store(0, std::memory_order_relaxed);
    sub.average_ticks = 0;
    sub.together.store(0, std::memory_order_relaxed);
    sub.next_publisher = 0;
    sub.kept_left = false;
    sub.cells.clear();
    sub.latency.clear();
    sub.handler_time.clear();
    sub.high_water.set(0);
    sub.face.use_cells(sub.face.object, sub.cells);
    sub.quarantine = params.quarantine;
    sub.failed_in_row = 0;
    sub.done_at_failure = 0;
    sub.quarantines.set(0);
    sub.quarantined_until.store(0, std::memory_order_relaxed);  // relaxed: as below
    sub.starved.set(0);
    sub.slices.set(0);
    for (counter_cell& of_kind : sub.missed) {
        of_kind.set(0);
    }
    sub.closing.store(subscription_core::stays, std::memory_order_relaxed);
    sub.pending.store(subscription_core::nothing, std::memory_order_relaxed);
    sub.market_data.store(subscription_core::connected, std::memory_order_relaxed);
    taken_numbers_.fetch_or(bit_of(sub.number), std::memory_order_relaxed);  // under the lock
    // Relaxed: the live bit publishes it.
    (sub.execution == execution_mode::inline_ ? inline_ : groups_[group]->members)
        .fetch_or(bit_of(sub.number), std::memory_order_relaxed);
    join_cursors(sub);
    sub.owned.store(subscription_core::idle,
                    std::memory_order_release);  // pairs with serve()'s CAS
    refresh_wanted();
    if (period != 0) {
        timers_.fetch_or(bit_of(sub.number), std::memory_order_relaxed);  // relaxed: unpark() below
        supervisor_->unpark();
    }
    wake();  // a worker may have looked between the live bit and `owned`, and found nobody
    return sub;
}

void engine::joined(const subscription_core& sub) noexcept {
    if (sub.execution == execution_mode::inline_) {
        // A publish that did not see it yet shows us its tail after this.
        barrier_everywhere();
        serve_inline();
    }
}

void engine::prepare_cursor(publisher_core& from, const subscription_core& sub) noexcept {
    for (const ring_class c : {ring_class::market, ring_class::critical}) {
        cursor_block& block = from.rings[index_of(c)].cursors[sub.number];
        // Relaxed: the release store of the cursor, or of the publisher, publishes them.
        for (atomic<std::uint64_t>* const word :
             {&block.pin, &block.lost, &block.first_lost, &block.last_lost, &block.rescues,
              &block.episode_first, &block.told, &block.handled, &block.first_kept}) {
            word->store(0, std::memory_order_relaxed);
        }
        block.losing.store(0, std::memory_order_relaxed);
        for (auto& of_kind : block.lost_by_kind) {
            of_kind.store(0, std::memory_order_relaxed);
        }
        block.kept.store(0, std::memory_order_relaxed);
        block.disconnected.store(0, std::memory_order_relaxed);
        block.policy.store(static_cast<std::uint32_t>(sub.policy), std::memory_order_relaxed);
        block.left_behind.store(cursor_block::kept_up, std::memory_order_relaxed);
        block.site.store(sub.site, std::memory_order_relaxed);
    }
}

void engine::join_cursors(subscription_core& sub) noexcept {
    for (const auto& from : publishers()) {
        prepare_cursor(*from, sub);
        for (const ring& places : from->rings) {
            places.cursors[sub.number].cursor.store(cursor_word::join,
                                                    std::memory_order_release);  // pairs: refresh()
        }
    }
    if (planted(planted_bug::join_without_look)) {
        for (const auto& from : publishers()) {
            for (const ring_class c : {ring_class::market, ring_class::critical}) {
                from->rings[index_of(c)].cursors[sub.number].cursor.store(
                    cursor_word::at(from->committed(c)), std::memory_order_release);
            }
        }
    }
    // seq_cst and the fence pair with refresh()'s: either it sees us, or we see its last tail.
    live_.fetch_or(bit_of(sub.number), std::memory_order_seq_cst);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (const auto& from : publishers()) {
        for (std::size_t r = 0; r < ring_classes; ++r) {
            std::uint64_t word = cursor_word::join;
            const std::uint64_t start = from->committed(static_cast<ring_class>(r));
            // acq_rel: the first to replace JOIN, we or a refresh, sets the stated start.
            from->rings[r].cursors[sub.number].cursor.compare_exchange_strong(
                word, cursor_word::at(start), std::memory_order_acq_rel, std::memory_order_acquire);
        }
        // At or behind where either ring starts.
        sub.first_sequence[from->number_] = from->committed_sequence() + 1;
    }
}

void engine::renew_masks(std::uint32_t number, const interest* wanted) {
    std::vector<std::pair<std::uint32_t, std::uint64_t>> bits;
    std::uint64_t choosy = 0;
    std::array<std::uint64_t, max_event_kinds> kinds{};
    kinds.fill(~std::uint64_t{0});
    const auto add = [&](std::uint32_t of, const interest& its) {
        if (its.instruments.empty()) {
            return;  // it wants them all, and does not look
        }
        choosy |= bit_of(of);
        for (const std::uint32_t instrument : its.instruments) {
            bits.emplace_back(instrument, bit_of(of));
        }
        for (std::uint32_t kind = 0; kind < max_event_kinds; ++kind) {
            kinds[kind] &= its.kinds.contains(kind) ? ~std::uint64_t{0} : ~bit_of(of);
        }
    };
    for (std::uint64_t left = live() & ~bit_of(number); left != 0; left &= left - 1) {
        const auto other = static_cast<std::uint32_t>(std::countr_zero(left));
        add(other, subscriptions_[other].wanted());
    }
    if (wanted != nullptr) {
        add(number, *wanted);
    }
    const mask_table* const before = masks_.load(std::memory_order_relaxed);  // under the lock
    if (before == nullptr && choosy == 0) {
        return;
    }
    auto next = std::make_unique<const mask_table>(std::move(bits), choosy, kinds);
    // Release pairs with masks().
    const std::unique_ptr<const mask_table> old{
        masks_.exchange(next.release(), std::memory_order_acq_rel)};
    // Every publisher that read the old one shows itself stamping to us after this.
    barrier_everywhere();
    for (const auto& from : publishers()) {
        backoff wait;
        while (from->stamping()) {
            wait.pause();
        }
    }
}

void engine::refresh_wanted() noexcept {
    std::uint32_t kinds = 0;
    for (std::uint64_t left = live(); left != 0; left &= left - 1) {
        kinds |= subscriptions_[static_cast<std::uint32_t>(std::countr_zero(left))]
                     .wanted()
                     .kinds.bits();
    }
    wanted_.store(kinds, std::memory_order_relaxed);  // relaxed: see wanted()
}

void engine::check_conflatable(std::string_view name, overflow policy, kind_set kinds,
                               const consumer_face& face) {
    std::string others;
    for (std::uint32_t kind = 0; kind < max_event_kinds && policy == overflow::conflate; ++kind) {
        if (kinds.contains(kind) && !face.critical(kind) && !face.conflatable(kind)) {
            others += (others.empty() ? "" : ", ") + std::to_string(kind);
        }
    }
    if (!others.empty()) {
        throw std::invalid_argument(
            "subscription \"" + std::string{name} + "\": overflow::conflate with kinds " + others +
            ", of which the latest event does not stand for the older ones "
            "(event_traits::conflatable). Name the kinds it wants in subscription_params::kinds, "
            "and take the others in a subscription of their own.");
    }
}

void engine::warm_up(const memory_params& how) {
    const std::lock_guard lock{registry_};
    duplicates_->warm_up(how);
    kept_->warm_up(how);
    for (const auto& from : publishers()) {
        from->slots_.warm_up(how, from->slots_.slots());
    }
}

void engine::set_guard(guard_level level) noexcept {
    static_cast<void>(duplicates_->set_guard(level));
    static_cast<void>(kept_->set_guard(level));
    for (const auto& from : publishers()) {
        static_cast<void>(from->slots_.set_level(level));
    }
}

}  // namespace ropeway::detail
