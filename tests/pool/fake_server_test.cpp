// SPDX-License-Identifier: Apache-2.0
//
// The scripted server and its resources, driven by hand as a pool would.
#include <ropeway/pool/testing/fake_server.hpp>
#include <ropeway/pool/testing/virtual_time.hpp>

#include <ropeway_test.hpp>

#include <poll.h>

namespace {

using namespace std::chrono_literals;
using ropeway::resource_error_kind;
using ropeway::resource_health;
using ropeway::resource_step;
using ropeway::resource_task;
using ropeway::return_state;
using ropeway::step_state;
using ropeway::testing::fake_resource;
using ropeway::testing::fake_server;
using ropeway::testing::virtual_time;

/// Does a task to its end, as long as it has one.
step_state run(virtual_time& time, fake_resource& resource, resource_task task) {
    resource_step step = resource.begin(task);
    while (step.state == step_state::wants_read && step.after.count() >= 0) {
        time.advance(step.after);
        step = resource.resume();
    }
    return step.state;
}

TEST_CASE("a fake resource opens after its latency, is probed, reset and closed, and is counted") {
    virtual_time time;
    fake_server server{time, {.open = 5ms, .probe = 1ms, .reset = 2ms, .close = 3ms}};
    const auto resource = server.make();
    const auto begun = time.now();
    CHECK(run(time, *resource, resource_task::open) == step_state::done);
    CHECK(time.now() - begun == 5ms);
    CHECK(resource->number() == 1);
    CHECK(resource->check() == resource_health::usable);
    CHECK(run(time, *resource, resource_task::probe) == step_state::done);
    CHECK(resource->use(10ms));
    CHECK(resource->on_return() == return_state::clean);
    resource->leave(return_state::dirty);
    CHECK(resource->on_return() == return_state::dirty);
    CHECK(run(time, *resource, resource_task::reset) == step_state::done);
    CHECK(resource->on_return() == return_state::clean);
    CHECK(server.counts().alive_now == 1);
    CHECK(run(time, *resource, resource_task::close) == step_state::done);
    resource->drop();
    CHECK(time.now() - begun == 21ms);
    const auto counts = server.counts();
    CHECK(counts.opens == 1);
    CHECK(counts.probes == 1);
    CHECK(counts.resets == 1);
    CHECK(counts.farewells == 1);
    CHECK(counts.drops == 0);
    CHECK(counts.open_now == 0);
    CHECK(counts.alive_now == 0);
    CHECK(counts.most_alive == 1);
    CHECK(server.misuses().empty());
}

TEST_CASE("a killed connection is dead at its check, unusable in use, and readable if it may be") {
    virtual_time time;
    fake_server server{time};
    server.use_descriptors(true);
    const auto resource = server.make();
    REQUIRE(run(time, *resource, resource_task::open) == step_state::done);
    pollfd fd{.fd = resource->idle_fd(), .events = POLLIN, .revents = 0};
    REQUIRE(fd.fd >= 0);
    CHECK(::poll(&fd, 1, 0) == 0);
    CHECK(server.say_something(1));
    CHECK(::poll(&fd, 1, 0) == 1);
    CHECK(resource->check() == resource_health::doubtful);
    CHECK(::poll(&fd, 1, 0) == 0);
    CHECK(resource->check() == resource_health::usable);
    CHECK(server.kill(1));
    CHECK_FALSE(server.kill(1));
    CHECK(::poll(&fd, 1, 0) == 1);
    CHECK(resource->on_return() == return_state::clean);
    CHECK_FALSE(resource->use());
    CHECK(resource->error().kind == resource_error_kind::broken);
    CHECK(resource->on_return() == return_state::broken);
    CHECK(resource->check() == resource_health::dead);
    CHECK(run(time, *resource, resource_task::probe) == step_state::failed);
    resource->drop();
    CHECK(server.counts().kills == 1);
    CHECK(server.counts().drops == 1);
    CHECK(server.misuses().empty());
}

TEST_CASE("opens fail as told, while the server is down, and never end while it is silent") {
    virtual_time time;
    fake_server server{time};
    const auto resource = server.make();
    server.fail_opens(1, {.kind = resource_error_kind::authentication, .code = {}, .text = "no"});
    CHECK(run(time, *resource, resource_task::open) == step_state::failed);
    CHECK(resource->error().kind == resource_error_kind::authentication);
    resource->drop();
    server.go_down();
    CHECK(run(time, *resource, resource_task::open) == step_state::failed);
    CHECK(resource->error().kind == resource_error_kind::unavailable);
    resource->drop();
    server.come_up();
    server.set_silent(true);
    CHECK(run(time, *resource, resource_task::open) == step_state::wants_read);
    time.advance(1h);
    CHECK(resource->resume().state == step_state::wants_read);
    resource->drop();
    server.set_silent(false);
    CHECK(run(time, *resource, resource_task::open) == step_state::done);
    const auto counts = server.counts();
    CHECK(counts.opens == 4);
    CHECK(counts.refused == 2);
    CHECK(counts.abandoned == 1);
    CHECK(counts.opened == 1);
    CHECK(server.alive() == std::vector<std::uint64_t>{1});
    CHECK(server.misuses().empty());
}

TEST_CASE("a pool that breaks the rules of a resource is recorded") {
    virtual_time time;
    fake_server server{time};
    const auto resource = server.make();
    CHECK(resource->check() == resource_health::dead);
    static_cast<void>(resource->begin(resource_task::open));
    static_cast<void>(resource->begin(resource_task::open));
    resource->drop();
    static_cast<void>(resource->begin(resource_task::reset));
    resource->drop();
    CHECK(resource->on_return() == return_state::broken);
    CHECK(resource->resume().state == step_state::failed);
    const auto misuses = server.misuses();
    REQUIRE(misuses.size() == 5);
    CHECK(misuses[0] == "resource 1 (connection 0): checked while it is not open");
    CHECK(misuses[1] == "resource 1 (connection 0): a task was begun during another");
    CHECK(misuses[2] == "resource 1 (connection 0): a task was begun while not open");
    CHECK(misuses[3] == "resource 1 (connection 0): returned while it is not open");
    CHECK(misuses[4] == "resource 1 (connection 0): resumed without a task");
}

}  // namespace
