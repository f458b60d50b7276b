// SPDX-License-Identifier: Apache-2.0
#include "violation_log.hpp"

#include <algorithm>

namespace ropeway::soak {

violation_log::violation_log() noexcept : before_(process_totals()) {
    set_violation_handler(&on_violation, this);
}

violation_log::~violation_log() { set_violation_handler(nullptr, nullptr); }

violation_totals violation_log::process_totals() noexcept {
    const violation_counts& all = all_violations();
    violation_totals out;
    out.double_puts = all[violation_kind::double_put];
    out.use_after_puts = all[violation_kind::put_after_reuse] + all[violation_kind::stale_read];
    out.write_after_puts =
        all[violation_kind::write_after_put] + all[violation_kind::write_after_publish];
    out.other = all.total() - out.total() - all[violation_kind::leak];
    return out;
}

violation_totals violation_log::totals() const noexcept {
    violation_totals out = process_totals();
    out.double_puts -= before_.double_puts;
    out.use_after_puts -= before_.use_after_puts;
    out.write_after_puts -= before_.write_after_puts;
    out.other -= before_.other;
    return out;
}

std::vector<std::string> violation_log::texts() const {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < kept; ++i) {
        // Acquire pairs with on_violation(): the copy is whole.
        if (filled_[i].load(std::memory_order_acquire)) {
            out.push_back(to_string(first_[i]));
        }
    }
    return out;
}

void violation_log::on_violation(const violation& what, void* context) noexcept {
    auto& self = *static_cast<violation_log*>(context);
    // Relaxed: each reporter gets a place of its own; `filled_` publishes it.
    const std::size_t place = self.next_.fetch_add(1, std::memory_order_relaxed);
    if (place < kept) {
        self.first_[place] = what;
        self.filled_[place].store(true, std::memory_order_release);  // pairs with texts()
    }
}

}  // namespace ropeway::soak
