// SPDX-License-Identifier: Apache-2.0
//
// Injection 14: a process that has a pool forks. The child cannot use the parent's sessions, and
// its end leaves them alone; a program executed by it has none of their descriptors.
#include "fault_test.hpp"

#include <fstream>
#include <sstream>

#include <sys/wait.h>
#include <unistd.h>

using namespace ropeway_test;

namespace {

// What a child found, told by its exit status: a bit each.
enum child_finding : int { acquired = 1, used_held = 2, not_closed = 4, waited = 8 };

}  // namespace

TEST_CASE("a forked child is refused leases, and the parent's sessions live on") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_tcp()}};
    ride.start();
    REQUIRE(ride.wait_idle(2));
    auto held = ride->acquire(1s);
    REQUIRE(held);
    const int session = held->backend_pid();
    const pid_t child = ::fork();
    if (child == 0) {
        int found = 0;
        const auto begun = steady::now();
        auto got = ride->acquire(5s);
        found |= got ? acquired : 0;
        found |= !got && got.error().kind != resource_error_kind::closed ? not_closed : 0;
        found |= held->exec("select 7", 1s) ? used_held : 0;
        // What a careless child does: it gives back what it believes to hold, and ends the pool.
        held.held().reset();
        // None of that waits for anything.
        found |= steady::now() - begun > 1s ? waited : 0;
        ::_exit(found);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(ask(*held, "select 7") == "7");
    CHECK(held->backend_pid() == session);
    held.held().reset();
    REQUIRE(ride.wait_idle(2));
    for (int i = 0; i < 4; ++i) {
        CHECK(answers(ride.pool(), 1s));
    }
    CHECK(ride->snapshot().opened == 2);
    CHECK(ride->snapshot().timeouts == 0);
    CHECK(ride.log().wait_for("Connection 2 opened in "));
    CHECK_FALSE(ride.log().has("closed: "));
    CHECK(server.backends().size() == 2);
    ride.end_without_leak(server);
}

TEST_CASE("a program that a child executes has no descriptor of a pool") {
    postgres_server& server = shared_server();
    rig ride{{.url = server.url_tcp(), .min_size = 3, .max_size = 3}};
    ride.start();
    REQUIRE(ride.wait_idle(3));
    const std::string list = server.folder() + "/descriptors.txt";
    const pid_t child = ::fork();
    if (child == 0) {
        // Only system calls, as behind any fork of a process with threads.
        const char* words[] = {"/bin/sh", "-c", "exec ls -l /proc/self/fd > \"$0\"", list.c_str(),
                               nullptr};
        ::execv(words[0], const_cast<char**>(words));
        ::_exit(127);
    }
    int status = 0;
    CHECK(wait_ended(child));
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    REQUIRE(WEXITSTATUS(status) == 0);
    CHECK(ride->snapshot().opened == 3);
    CHECK_FALSE(ride.log().has("closed: "));
    std::ostringstream listed;
    listed << std::ifstream{list}.rdbuf();
    CHECK(listed.str().find("/proc/") != std::string::npos);
    CHECK(listed.str().find("socket:") == std::string::npos);
    CHECK(listed.str().find("eventfd") == std::string::npos);
    ride.end_without_leak(server);
}
