// SPDX-License-Identifier: Apache-2.0
//
// Gets and puts of threads without magazines (ending ones, and those beyond max_threads), and what
// a user's get() does when nothing is free.
#include <algorithm>
#include <thread>

#include <ropeway/pool/coarse_clock.hpp>
#include <ropeway/pool/end_of_wait.hpp>
#include <ropeway/pool/slot_pool.hpp>

namespace ropeway {

bool slot_pool::get_direct(slot_ref& out, std::uint64_t meta) noexcept {
    for (;;) {
        magazine* shell = take_full();
        const bool carved = shell == nullptr;
        if (carved) {
            shell = take_shell();  // may bring entries: a thread left it just now
            if (shell->size() == 0 && carve(*shell, 1) == 0) {
                store_shell(*shell);
                return false;
            }
        }
        const std::uint32_t n = shell->size() - 1;
        const slot_ref entry = shell->entry(n);
        const std::uint16_t parker = shell->parkers[n];
        shell->set_size(n);
        store_shell(*shell);
        note_high_water();
        const bool right = slab_.check_out_parked(entry, parker, meta);
        // As in drop(): a retired slot is not out; a second entry was put once too often.
        if (right || !forget_retired(entry)) {
            direct_net_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
        }
        if (right) {
            out = entry;
            return true;
        }
        direct_refused_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    }
}

std::size_t slot_pool::get_n_direct(slot_ref* out, std::size_t n, std::uint64_t meta) noexcept {
    std::size_t got = 0;
    while (got != n && get_direct(out[got], meta)) {
        ++got;
    }
    return got;
}

void slot_pool::push_direct(slot_ref entry, std::uint16_t parker) noexcept {
    magazine* const shell = take_shell();
    const std::uint32_t n = shell->size();
    shell->set_entry(n, entry, parker);
    shell->set_size(n + 1);
    store_shell(*shell);
    direct_net_.fetch_sub(1, std::memory_order_relaxed);  // relaxed: a count
}

bool slot_pool::get_exhausted(slot_ref& out, std::uint64_t meta) noexcept {
    exhausted_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    switch (params_.exhausted) {
        case on_exhausted::fail: return false;
        case on_exhausted::grow:
            while (grow()) {
                if (try_get(out, meta)) {
                    return true;
                }
            }
            return try_get(out, meta);  // somebody else grew it to the bound
        case on_exhausted::block: return wait_for_slot(out, meta);
        case on_exhausted::callback:
            while (params_.callback(*this, params_.callback_context)) {
                if (try_get(out, meta)) {
                    return true;
                }
            }
            return false;
    }
    return false;
}

bool slot_pool::grow() noexcept {
    // relaxed (all): a bound; the slots above it were never touched
    std::uint32_t now = capacity_.load(std::memory_order_relaxed);
    std::uint32_t next = 0;
    do {
        if (now >= params_.max_slots) {
            return false;
        }
        const std::uint32_t step = std::max(magazine_entries_, now / 2);
        next = step < params_.max_slots - now ? now + step : params_.max_slots;
    } while (!capacity_.compare_exchange_weak(now, next, std::memory_order_relaxed,
                                              std::memory_order_relaxed));
    grown_.fetch_add(next - now, std::memory_order_relaxed);
    return true;
}

bool slot_pool::wait_for_slot(slot_ref& out, std::uint64_t meta) noexcept {
    using clock = std::chrono::steady_clock;
    const clock::time_point deadline = detail::end_of_wait(clock::now(), params_.block_deadline);
    waiters_.fetch_add(1, std::memory_order_relaxed);  // relaxed: the bit below is what others see
    bool got = false;
    for (std::uint32_t tries = 0; !got; ++tries) {
        // Puts see it sooner or later; set anew each time, since the last waiter clears it.
        slab_.change_mode(0, slab::someone_waits);
        got = try_get(out, meta);
        if (got || clock::now() >= deadline) {
            break;
        }
        if (tries < 64) {
            std::this_thread::yield();
        } else {
            std::this_thread::sleep_for(std::chrono::microseconds{50});
        }
    }
    if (waiters_.fetch_sub(1, std::memory_order_relaxed) == 1) {  // relaxed: as above
        slab_.change_mode(slab::someone_waits, 0);
    }
    return got;
}

}  // namespace ropeway
