// SPDX-License-Identifier: Apache-2.0
//
// Connections without a pool: a task's steps driven to their end by a poll, as the pool's I/O
// thread drives them. For the test's main thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <poll.h>

#include <ropeway/pool/postgres.hpp>

#include "postgres_test.hpp"

namespace ropeway_test {

namespace pg = ropeway::postgres;

/// @return how the task ended; failed if it took longer than `limit`
inline ropeway::step_state finish(ropeway::pooled_resource& on, ropeway::resource_step step,
                                  std::chrono::milliseconds limit = patience) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (step.state != ropeway::step_state::done && step.state != ropeway::step_state::failed) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        short events = POLLIN | POLLOUT;
        if (step.state != ropeway::step_state::wants_either) {
            events = step.state == ropeway::step_state::wants_read ? POLLIN : POLLOUT;
        }
        pollfd look{step.fd, events, 0};
        if (left.count() <= 0 || ::poll(&look, 1, static_cast<int>(left.count())) == 0) {
            return ropeway::step_state::failed;
        }
        step = on.resume();
    }
    return step.state;
}

inline bool run_task(ropeway::pooled_resource& on, ropeway::resource_task task) {
    return finish(on, on.begin(task)) == ropeway::step_state::done;
}

/// What the pool does with a lease's return: judge, reset if dirty. @return false if it must go
inline bool give_back(pg::connection& on) {
    switch (on.on_return()) {
        case ropeway::return_state::clean: return true;
        case ropeway::return_state::dirty: return run_task(on, ropeway::resource_task::reset);
        case ropeway::return_state::broken: break;
    }
    on.drop();
    return false;
}

/// An open connection. @throws std::runtime_error with its error
inline std::unique_ptr<pg::connection> open_session(std::shared_ptr<pg::settings> shared) {
    auto made = std::make_unique<pg::connection>(std::move(shared));
    if (!run_task(*made, ropeway::resource_task::open)) {
        throw std::runtime_error(made->error().text);
    }
    return made;
}

inline std::unique_ptr<pg::connection> open_session(pg::postgres_params params) {
    return open_session(std::make_shared<pg::settings>(std::move(params)));
}

inline std::unique_ptr<pg::connection> open_session() {
    return open_session(pg::postgres_params{.url = shared_server().url_unix()});
}

}  // namespace ropeway_test
