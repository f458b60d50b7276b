// SPDX-License-Identifier: Apache-2.0
//
// A fork of a process that owns a pool: the child neither uses nor ends what is the parent's, gets
// an error that says so, and can have a pool of its own.
#include <chrono>
#include <optional>

#include <sys/wait.h>
#include <unistd.h>

#include <ropeway/pool/resource_pool.hpp>

#include "ropeway_test.hpp"
#include "scripted_resource.hpp"

using namespace std::chrono_literals;
using ropeway_test::made_by;
using ropeway_test::scripted_end;
using ropeway_test::scripted_pool;

namespace {

ropeway::resource_pool_params params_of(std::uint32_t least) {
    ropeway::resource_pool_params params;
    params.name = "forked";
    params.min_size = least;
    params.max_size = 2;
    return params;
}

/// What the child finds: a bit for each thing that is wrong.
int in_child(std::optional<scripted_pool>& parents, scripted_end& end,
             ropeway::lease<ropeway_test::scripted_resource> held) {
    int wrong = 0;
    auto none = parents->acquire(1s);
    wrong |= none ? 1 : 0;
    wrong |= !none && none.error().kind != ropeway::resource_error_kind::closed ? 2 : 0;
    wrong |= !none && none.error().text().find("fork") == std::string::npos ? 4 : 0;
    wrong |= parents->try_acquire() ? 8 : 0;
    held.reset();
    parents.reset();
    wrong |= end.farewells != 0 || end.alive != 2 ? 16 : 0;  // nothing was said, nothing dropped
#if !defined(__SANITIZE_THREAD__)  // which ends a child that starts a thread
    scripted_end other;
    {
        scripted_pool own(made_by(other), params_of(1));
        wrong |= own.start().has_value() ? 32 : 0;
        wrong |= own.acquire(1s) ? 0 : 64;
    }
    wrong |= other.alive != 0 ? 128 : 0;
#endif
    return wrong;
}

}  // namespace

TEST_CASE("a fork leaves its parent's connections alone and may have a pool of its own") {
    scripted_end end;
    std::optional<scripted_pool> pool(std::in_place, made_by(end), params_of(2));
    REQUIRE_FALSE(pool->start().has_value());
    auto held = pool->acquire(1s);
    REQUIRE(held);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        _exit(in_child(pool, end, held.take()));
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    held->use();
    held.held().reset();
    CHECK(pool->acquire(1s));
    CHECK(pool->shutdown(1s).clean());
    CHECK(end.farewells == 2);
}
