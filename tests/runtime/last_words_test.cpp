// SPDX-License-Identifier: Apache-2.0
//
// A violation that ends the process stands in the runtime's log, though its log is written by a
// thread of its own.
#include <ropeway/ropeway.hpp>

#include <ropeway_test.hpp>

#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ropeway/pool/violation.hpp>

using namespace ropeway;

namespace {

/// Ends by SIGABRT, with lines before its last one that the log's thread has to write first.
void die(const std::string& file, void (*misuse)()) {
    signal(SIGABRT, SIG_DFL);
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDERR_FILENO);
    runtime_params params;
    params.log.file = file;
    runtime rt{params};
    for (int i = 0; i < 1000; ++i) {
        violation other;
        other.pool = {'o', 't', 'h', 'e', 'r'};
        report_violation(other, violation_policy::log_and_drop);
    }
    misuse();
}

/// The log of a child that `misuse` ends.
std::string log_of(void (*misuse)()) {
    const std::string file = "last_words_" + std::to_string(getpid()) + ".log";
    std::remove(file.c_str());
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        die(file, misuse);
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    REQUIRE(WTERMSIG(status) == SIGABRT);
    std::ostringstream text;
    text << std::ifstream{file}.rdbuf();
    std::remove(file.c_str());
    return text.str();
}

struct nothing {
    int value = 0;
};

}  // namespace

TEST_CASE("a use of an empty lease stands in the log when the process has ended") {
    const std::string log = log_of([] {
        const lease<nothing> empty;
        static_cast<void>(*empty);
    });
    CAPTURE(log);
    CHECK(log.find("stale read") != std::string::npos);
    CHECK(log.find("Stack of this report") != std::string::npos);
}

TEST_CASE("a violation under policy abort stands in the log, though many of its kind came before") {
    const std::string log = log_of([] {
        violation last;
        last.pool = {'t', 'h', 'e', 'l', 'a', 's', 't'};
        report_violation(last, violation_policy::abort);
    });
    CAPTURE(log);
    CHECK(log.find("pool=thelast") != std::string::npos);
}
