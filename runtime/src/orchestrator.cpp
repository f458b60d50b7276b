// SPDX-License-Identifier: Apache-2.0
#include <ropeway/runtime/orchestrator.hpp>

#include <algorithm>

namespace ropeway {

bool quote_fold::operator()(market_event& into, const market_event& partial,
                            std::size_t index) const noexcept {
    if (partial.kind != event_kind::quote ||
        (index != 0 && partial.instrument != into.instrument)) {
        return false;
    }
    if (index == 0) {
        into.kind = event_kind::quote;
        into.instrument = partial.instrument;
        into.exchange_ns = partial.exchange_ns;
        into.receive_ns = partial.receive_ns;
        into.exchange_id = partial.exchange_id;
        into.flags = partial.flags;
        into.order = partial.order;
        into.user = partial.user;
    }
    if (into.trace == trace_id{}) {
        into.trace = partial.trace;
    }
    into.exchange_ns = std::max(into.exchange_ns, partial.exchange_ns);
    into.receive_ns = std::max(into.receive_ns, partial.receive_ns);
    into.exchange_id = std::max(into.exchange_id, partial.exchange_id);
    if (partial.side == event_side::offer) {
        into.price2 = partial.price;
        into.quantity2 = partial.quantity;
        return true;
    }
    into.flags = partial.flags;
    into.price = partial.price;
    into.quantity = partial.quantity;
    if (partial.side == event_side::none) {
        into.price2 = partial.price2;
        into.quantity2 = partial.quantity2;
    }
    return true;
}

template class basic_orchestrator<market_event, quote_fold>;

}  // namespace ropeway
