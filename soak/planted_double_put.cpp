// SPDX-License-Identifier: Apache-2.0
#include "planted_double_put.hpp"

#include <utility>

#include <ropeway/pool/event_pool.hpp>

namespace ropeway::soak {

void plant_double_put() {
    recycler back;
    pool_params params;
    params.name = "planted";
    params.slots = 16;
    params.back = &back;
    event_pool<market_event> events{params};
    const raw_event<market_event> lent = back.lend(events.get());
    static_cast<void>(back.recycle_raw(events, lent.event, lent.ticket));
    static_cast<void>(back.recycle_raw(events, lent.event, lent.ticket));
}

}  // namespace ropeway::soak
