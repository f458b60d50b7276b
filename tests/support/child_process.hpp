// SPDX-License-Identifier: Apache-2.0
//
// Processes that a test starts: as another user where the test runs as root, with their output in a
// file, waited for through a pidfd, ended by id. Thread safety: plain functions, any thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <sys/types.h>

namespace ropeway_test {

/// Whom a child runs as.
struct child_user {
    uid_t uid = 0;
    gid_t gid = 0;
    bool change = false;  ///< false: as we do
};

/// Ourselves if we are not root; else `postgres`, or `nobody`: a database server refuses root.
[[nodiscard]] child_user server_user();

/// How long a test waits for what comes at once on a machine that is not busy.
inline constexpr std::chrono::milliseconds patience{30'000};

struct child_params {
    std::vector<std::string> command{};
    std::string output{};  ///< file that its output is appended to
    std::string folder{};  ///< where it runs; empty: here
    int input = -1;        ///< its standard input; -1: /dev/null
    int death_signal = 0;  ///< sent to it when the thread that starts it ends; 0: none
    child_user user{};
};

/// Forks and executes. No other descriptor of ours is open in it.
/// @return its id. @throws std::system_error if it cannot fork
[[nodiscard]] pid_t start_child(const child_params& how);

/// Waits until the process `pid`, a child or not, has ended. @return false at the deadline.
[[nodiscard]] bool wait_ended(pid_t pid, std::chrono::milliseconds limit = patience);

/// Ends and collects a child: `signal`, and SIGKILL when it has not ended after `limit`.
/// @return its exit status as waitpid() gives it
int end_child(pid_t pid, int signal, std::chrono::milliseconds limit = patience);

/// Runs a command to its end. @throws std::runtime_error with its output if it fails
void run_child(const child_params& how, std::chrono::milliseconds limit);

/// The ids of the children of `parent`, from /proc.
[[nodiscard]] std::vector<pid_t> children_of(pid_t parent);
/// The words of a process's command line, with spaces between; empty if it is gone.
[[nodiscard]] std::string command_of(pid_t pid);
/// The letter of its state (R, S, T, Z...); 0 if it is gone.
[[nodiscard]] char state_of(pid_t pid);
/// The last `bytes` of a file, for a failure's text.
[[nodiscard]] std::string tail_of(const std::string& file, std::size_t bytes = 4000);
/// Waits until `done` says so. @return false after `limit`.
template <class Done>
[[nodiscard]] bool wait_until(Done done, std::chrono::milliseconds limit = patience);
/// Lets a millisecond or so pass: a step of a loop that polls for something with a bound.
void pause_for(std::chrono::microseconds span);

template <class Done>
bool wait_until(Done done, std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!done()) {
        if (std::chrono::steady_clock::now() >= until) {
            return done();
        }
        pause_for(std::chrono::microseconds{500});
    }
    return true;
}

}  // namespace ropeway_test
