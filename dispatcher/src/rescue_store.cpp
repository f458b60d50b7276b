// SPDX-License-Identifier: Apache-2.0
#include <ropeway/dispatcher/rescue_store.hpp>

#include <algorithm>
#include <bit>

#include <ropeway/dispatcher/engine.hpp>

namespace ropeway::detail {
namespace {

/// Spreads keys that differ in few bits (instrument numbers) over the table.
[[nodiscard]] constexpr std::uint64_t mixed(std::uint64_t key) noexcept {
    key ^= key >> 32U;
    key *= 0x9E3779B97F4A7C15U;  // 2^64 over the golden ratio
    return key ^ (key >> 29U);
}

}  // namespace

conflation_table::conflation_table(std::uint32_t keys)
    : keys_(keys),
      words_((keys + 63) / 64),
      hashed_keys_(std::bit_ceil(std::size_t{keys} * 2)),
      hashed_cells_(hashed_keys_.size(), 0),
      cells_(std::make_unique<atomic<std::uint64_t>[]>(keys)),
      dirty_(std::make_unique<atomic<std::uint64_t>[]>(words_)) {}

std::uint32_t conflation_table::cell_of(std::uint64_t key) noexcept {
    const std::size_t mask = hashed_keys_.size() - 1;
    for (std::size_t at = mixed(key) & mask;; at = (at + 1) & mask) {
        if (hashed_cells_[at] == 0) {
            if (used_ == keys_) {
                return no_cell;
            }
            hashed_keys_[at] = key;
            hashed_cells_[at] = ++used_;
        }
        if (hashed_keys_[at] == key) {
            return hashed_cells_[at] - 1;
        }
    }
}

std::size_t conflation_table::bytes() const noexcept {
    return keys_ * sizeof(atomic<std::uint64_t>) + words_ * sizeof(atomic<std::uint64_t>) +
           hashed_keys_.size() * (sizeof(std::uint64_t) + sizeof(std::uint32_t));
}

void rescue_store::begin(std::uint32_t conflation_keys) {
    table.reset();
    taken.clear();
    if (conflation_keys != 0) {
        make_table(conflation_keys);
    }
    head = ready = 0;
    told_folded = 0;
    for (counter_cell* const count :
         {&folded, &no_cell, &no_slot, &backlogged, &high_water, &folded_late}) {
        count->set(0);
    }
    for (std::size_t kind = 0; kind < max_event_kinds; ++kind) {
        folded_by_kind[kind].set(0);
        folded_late_by_kind[kind].set(0);
    }
}

void rescue_store::make_table(std::uint32_t conflation_keys) {
    if (table == nullptr) {
        taken.reserve(conflation_keys);  // a key is in it at most once
        table = std::make_unique<conflation_table>(conflation_keys);
    }
}

void rescue_store::gather(cursor_block& block, std::uint64_t cursor, std::uint64_t end,
                          const subscription_core& sub, engine& owner) noexcept {
    const bool drains = end != ~std::uint64_t{0};
    if (drains) [[unlikely]] {
        drop_behind(end, sub, owner);  // what was gathered before the drain began
    }
    if (head != ready) {
        return;  // the flag stays: the cells are for the next call
    }
    clear(block);
    take_from_cells(cursor, sub, owner);
    if (drains) [[unlikely]] {
        drop_behind(end, sub, owner);
    }
}

void rescue_store::gather_critical(cursor_block& block, std::uint64_t end,
                                   const subscription_core& sub, engine& owner) noexcept {
    clear(block);
    // In order: once the first lies behind the end, all do.
    while (!critical.empty() && critical.front().sequence >= end) {
        sub.face.recycle(owner, owner.kept(), critical.front().slot);
        critical.pop();
    }
}

void rescue_store::take_from_cells(std::uint64_t cursor, const subscription_core& sub,
                                   engine& owner) noexcept {
    taken.erase(taken.begin(), taken.begin() + static_cast<std::ptrdiff_t>(head));
    head = 0;
    const std::size_t held = taken.size();
    slot_pool& pool = owner.kept();
    table->take_all([&](std::uint32_t cell, std::uint64_t content) {
        const std::uint32_t index = conflation_table::slot(content);
        const engine::kept_span stands_for = owner.kept_span_of(index);
        const kept_event event{pool.storage().current(index), stands_for.newest, stands_for.oldest,
                               conflation_table::position(content, cursor), cell};
        for (std::size_t i = 0; i != held; ++i) {
            if (taken[i].key == cell) {  // held since the last call, and older
                void* const older = pool.payload(taken[i].slot.index);
                folded_late.add(1);
                folded_late_by_kind[kind_index(pool.storage().ops().kind_of(older))].add(1);
                sub.face.fold(older, pool.payload(event.slot.index));
                sub.face.recycle(owner, pool, event.slot);
                owner.conflated_back(1);
                taken[i].sequence = event.sequence;
                taken[i].position = event.position;
                return;
            }
        }
        taken.push_back(event);
    });
    std::sort(taken.begin(), taken.end(),
              [](const kept_event& a, const kept_event& b) { return a.position < b.position; });
    ready = static_cast<std::size_t>(
        std::find_if(taken.begin(), taken.end(),
                     [&](const kept_event& event) { return event.position >= cursor; }) -
        taken.begin());
}

void rescue_store::drop_behind(std::uint64_t end, const subscription_core& sub,
                               engine& owner) noexcept {
    std::size_t to = head;
    std::size_t ready_before = head;
    for (std::size_t i = head; i != taken.size(); ++i) {
        const std::uint64_t first =
            planted(planted_bug::newest_decides) ? taken[i].sequence : taken[i].oldest;
        if (first >= end) {
            sub.face.recycle(owner, owner.kept(), taken[i].slot);
            owner.conflated_back(1);
            continue;
        }
        taken[to++] = taken[i];
        ready_before += i < ready ? 1U : 0U;
    }
    taken.resize(to);
    ready = ready_before;
}

std::uint64_t rescue_store::discard_conflated(std::uint64_t end, const subscription_core& sub,
                                              engine& owner, missed_counts* missed) noexcept {
    if (table == nullptr) {
        return 0;
    }
    std::uint64_t before_end = 0;
    std::uint32_t all = 0;
    const auto discard = [&](slot_ref slot, std::uint64_t oldest) noexcept {
        if (oldest < end) {
            ++before_end;
            const slab_ops& ops = owner.kept().storage().ops();
            if (missed != nullptr) {
                (*missed)[kind_index(ops.kind_of(owner.kept().payload(slot.index)))].add(1);
            }
        }
        ++all;
        sub.face.recycle(owner, owner.kept(), slot);
    };
    for (; head != taken.size(); ++head) {
        discard(taken[head].slot, taken[head].oldest);
    }
    table->take_all([&](std::uint32_t, std::uint64_t content) {
        const std::uint32_t index = conflation_table::slot(content);
        discard(owner.kept().storage().current(index), owner.kept_span_of(index).oldest);
    });
    taken.clear();
    head = ready = 0;
    if (all != 0) {
        owner.conflated_back(all);
    }
    return before_end;
}

}  // namespace ropeway::detail
