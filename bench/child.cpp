// SPDX-License-Identifier: Apache-2.0
#include "child.hpp"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

extern char** environ;

namespace ropeway::bench {

std::string path_of(const std::string& program) {
    std::error_code failed;
    return (std::filesystem::read_symlink("/proc/self/exe", failed).parent_path() / program)
        .string();
}

child_result run_child(const std::string& program, const std::vector<std::string>& arguments,
                       const std::string& preload) {
    const std::string path = program.find('/') == std::string::npos ? path_of(program) : program;
    std::vector<std::string> words{path};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) {
        argv.push_back(word.data());
    }
    argv.push_back(nullptr);
    std::string put_first = "LD_PRELOAD=" + preload;
    std::vector<char*> environment;
    for (char** one = environ; *one != nullptr; ++one) {
        if (std::strncmp(*one, "LD_PRELOAD=", 11) != 0) {
            environment.push_back(*one);
        }
    }
    if (!preload.empty()) {
        environment.push_back(put_first.data());
    }
    environment.push_back(nullptr);

    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) {
        return {-1, std::string{"pipe: "} + std::strerror(errno)};
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    pid_t pid = 0;
    const int error =
        posix_spawn(&pid, path.c_str(), &actions, nullptr, argv.data(), environment.data());
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    child_result out;
    std::array<char, 512> some{};
    for (ssize_t n = 0; error == 0 && (n = ::read(ends[0], some.data(), some.size())) != 0;) {
        if (n > 0) {
            out.output.append(some.data(), static_cast<std::size_t>(n));
        } else if (errno != EINTR) {
            break;
        }
    }
    ::close(ends[0]);
    if (error != 0) {
        return {-1, path + ": " + std::strerror(error)};
    }
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    out.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return out;
}

std::string find_in_path(const std::string& program) {
    const char* const path = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): one thread
    std::istringstream folders{path == nullptr ? "" : path};
    for (std::string folder; std::getline(folders, folder, ':');) {
        if (const std::string file = folder + "/" + program; ::access(file.c_str(), X_OK) == 0) {
            return file;
        }
    }
    return {};
}

std::string find_library(const std::string& name) {
    for (const char* const folder : {"/usr/lib/x86_64-linux-gnu/", "/usr/lib/aarch64-linux-gnu/",
                                     "/usr/lib/", "/usr/local/lib/"}) {
        if (const std::string file = folder + name; ::access(file.c_str(), R_OK) == 0) {
            return file;
        }
    }
    return {};
}

}  // namespace ropeway::bench
