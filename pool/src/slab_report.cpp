// SPDX-License-Identifier: Apache-2.0
//
// How a slab makes reports: who the two culprits are, and what the slot's last records say. Reads
// words that others may be writing; every field may be a moment old.
#include <algorithm>

#include <ropeway/pool/site.hpp>
#include <ropeway/pool/slab.hpp>

#include "slab_tables.hpp"
#include "stack_walk.hpp"

namespace ropeway {

void slab::note(slot_ref life, slot_action action, std::uint64_t meta,
                std::uint16_t thread) noexcept {
    notes* const all = notes_.load(std::memory_order_acquire);  // pairs with make_tables
    if (all == nullptr) {
        return;  // the level has not settled on this thread
    }
    notes& of = all[life.index];
    const bool is_return = action == slot_action::put;
    auto& record =
        of.records[(2 * std::size_t{life.generation} + (is_return ? 1 : 0)) % history_records];
    const std::uint64_t said = meta_use_ == meta_use::site
                                   ? meta
                                   : make_meta(known_site::unknown, thread, coarse_now_ms());
    // relaxed (all): reports tolerate a record that is being written
    record.meta.store(said, std::memory_order_relaxed);
    record.life.store((std::uint64_t{life.generation} << 32) | static_cast<std::uint64_t>(action),
                      std::memory_order_relaxed);
    const std::size_t frames = detail::walk_frames_only(
        of.stack, reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)));
    if (frames != of.stack.size()) {
        of.stack[frames].store(nullptr,
                               std::memory_order_relaxed);  // the end; older ones behind it
    }
}

violation slab::begin_report(violation_kind kind, slot_ref held) noexcept {
    violation report;
    report.kind = kind;
    name_.copy(report.pool.data(), report.pool.size() - 1);
    report.pool_number = number_;
    report.index = held.index;
    report.generation_held = held.generation;
    if (held.index >= slots_) {
        return report;
    }
    const std::uint64_t word = header(held.index).word.load(std::memory_order_acquire);  // a look
    report.generation_found = slot_word::generation(word);
    report.state_found = slot_word::state(word);
    const notes* const all = notes_.load(std::memory_order_acquire);  // pairs with make_tables
    if (all == nullptr) {
        return report;
    }
    const notes& of = all[held.index];
    for (const auto& record : of.records) {
        // relaxed (all): see note()
        const std::uint64_t meta = record.meta.load(std::memory_order_relaxed);
        const std::uint64_t life = record.life.load(std::memory_order_relaxed);
        if (life != 0) {
            report.history[report.history_size++] = {
                static_cast<slot_action>(life & 0xFF), meta_site(meta), meta_thread(meta),
                meta_ms(meta), static_cast<std::uint32_t>(life >> 32)};
        }
    }
    std::sort(report.history.begin(), report.history.begin() + report.history_size,
              [](const slot_record& a, const slot_record& b) {
                  return a.generation != b.generation ? a.generation < b.generation
                                                      : a.action < b.action;
              });
    for (std::size_t i = 0; i != of.stack.size(); ++i) {
        report.first_stack[i] = of.stack[i].load(std::memory_order_relaxed);
        if (report.first_stack[i] == nullptr) {
            break;  // note() wrote no more
        }
    }
    return report;
}

culprit slab::holder_of(std::uint32_t index, std::uint64_t word) const noexcept {
    const std::uint64_t meta = header(index).meta.load(std::memory_order_relaxed);  // a look
    culprit who;
    switch (slot_word::state(word)) {
        case slot_state::live: who.action = slot_action::acquired; break;
        case slot_state::lent: who.action = slot_action::lent; break;
        default: who.action = slot_action::put; break;
    }
    if (meta_use_ == meta_use::site) {
        who.site = meta_site(meta);
        who.thread = meta_thread(meta);
        who.at_ms = meta_ms(meta);
    } else {
        who.thread = slot_word::parker(word);
    }
    return who;
}

culprit slab::last_acquirer(const violation& report) const noexcept {
    culprit who{slot_action::wrote, known_site::unknown, 0, coarse_now_ms()};
    for (std::uint32_t i = 0; i != report.history_size; ++i) {
        const slot_record& record = report.history[i];
        if (record.action == slot_action::acquired) {
            who.site = record.site;
            who.thread = record.thread;
        }
    }
    return who;
}

culprit slab::caller(slot_action action, std::uint64_t meta, bool has_meta) const noexcept {
    culprit who;
    who.action = action;
    who.thread = thread_number();
    who.at_ms = coarse_now_ms();
    if (has_meta && meta_use_ == meta_use::site) {
        who.site = meta_site(meta);
    }
    return who;
}

void slab::finish_report(violation& report) noexcept {
    violations_.add(report.kind);
    if (level() >= guard_level::sampled) {
        detail::walk_stack(report.second_stack);
    }
    report_violation(report, policy_);
}

void slab::report_refused(slot_ref entry, std::uint64_t word, std::uint64_t meta,
                          std::uint32_t parker) noexcept {
    violation report = begin_report(violation_kind::double_put, entry);
    report.generation_found = slot_word::generation(word);
    report.state_found = slot_word::state(word);
    report.first = holder_of(entry.index, word);
    // The entry knows which thread put it; where in the program is known only of the later put.
    report.second = caller(slot_action::handed, meta, true);
    if (parker != any_parker && parker != 0) {
        report.second.action = slot_action::put;
        report.second.site = known_site::unknown;
        report.second.thread = static_cast<std::uint16_t>(parker);
    }
    finish_report(report);
}

void slab::report_bad_return(const return_request& request, std::uint64_t word) noexcept {
    const bool held_by_other =
        slot_word::generation(word) != request.held.generation &&
        (slot_word::state(word) == slot_state::live || slot_word::state(word) == slot_state::lent ||
         slot_word::generation(word) != request.held.generation + 1);
    violation report = begin_report(
        held_by_other ? violation_kind::put_after_reuse : violation_kind::double_put, request.held);
    report.generation_found = slot_word::generation(word);
    report.state_found = slot_word::state(word);
    report.first = holder_of(request.held.index, word);
    report.second = caller(slot_action::put, request.meta, request.has_meta);
    finish_report(report);
}

void slab::report_changed(violation_kind kind, std::uint32_t index, std::uint64_t word,
                          const difference& change) noexcept {
    const slot_ref life{index, slot_word::generation(word)};
    if (kind == violation_kind::write_after_put) {
        retired_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    }
    violation report = begin_report(kind, life);
    report.state_found =
        kind == violation_kind::write_after_put ? slot_state::free : slot_state::live;
    if (kind == violation_kind::write_after_put) {
        report.first = holder_of(index, (word & ~slot_word::state_mask));
        report.second = last_acquirer(report);
    } else {
        report.first = last_acquirer(report);
        report.first.action = slot_action::published;
        report.second = {slot_action::wrote, known_site::unknown, 0, coarse_now_ms()};
    }
    report.offset = change.offset;
    report.found = change.found;
    report.expected = change.expected;
    finish_report(report);
}

void slab::report_stale_read(slot_ref held, std::uint64_t meta) noexcept {
    violation report = begin_report(violation_kind::stale_read, held);
    if (held.index < slots_) {
        const std::uint64_t word = header(held.index).word.load(std::memory_order_acquire);  // look
        report.first = holder_of(held.index, word);
    }
    report.second = caller(slot_action::read, meta, true);
    finish_report(report);
}

void slab::report_leak(std::uint32_t oldest, std::size_t count) noexcept {
    const std::uint64_t word = header(oldest).word.load(std::memory_order_acquire);  // a look
    violation report = begin_report(violation_kind::leak, {oldest, slot_word::generation(word)});
    report.first = holder_of(oldest, word);
    report.second = {slot_action::none, known_site::unknown, thread_number(), coarse_now_ms()};
    report.count = count;
    finish_report(report);
}

void slab::report_foreign(violation_kind kind, slot_ref held, std::uint64_t meta) noexcept {
    violation report = begin_report(kind, held);
    // A foreign pointer came with a ticket of ours; another pool's ticket says nothing here.
    if (kind == violation_kind::foreign_pointer && held.index < slots_) {
        const std::uint64_t word = header(held.index).word.load(std::memory_order_acquire);  // look
        report.generation_found = slot_word::generation(word);
        report.state_found = slot_word::state(word);
        report.first = holder_of(held.index, word);
    }
    report.second = caller(slot_action::put, meta, true);
    finish_report(report);
}

}  // namespace ropeway
