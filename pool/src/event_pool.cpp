// SPDX-License-Identifier: Apache-2.0
//
// The untyped part of an event_pool, and the instance that most programs use.
#include <ropeway/pool/event_pool.hpp>

namespace ropeway {

namespace detail {

slot_pool_params to_slot_pool_params(const pool_params& params, slab_ops ops, std::size_t bytes) {
    slot_pool_params out;
    out.storage.name = params.name;
    out.storage.slots = params.slots;
    out.storage.slot_bytes = bytes;
    out.storage.guard = params.guard;
    out.storage.memory = params.memory;
    out.storage.policy = params.policy;
    out.storage.ops = ops;
    out.storage.prepare = params.prepare;
    out.storage.meta = meta_use::site;
    out.magazine_entries = params.magazine_entries;
    out.max_threads = params.max_threads;
    out.quarantine = params.quarantine;
    out.exhausted = params.exhausted;
    out.max_slots = params.max_slots;
    out.block_deadline = params.block_deadline;
    out.callback = params.callback;
    out.callback_context = params.callback_context;
    return out;
}

recycler& recycler_for(const pool_params& params) {
    if (params.back != nullptr) {
        return *params.back;
    }
    init_default_recycler();
    return default_recycler();
}

}  // namespace detail

template class event_pool<market_event>;

}  // namespace ropeway
