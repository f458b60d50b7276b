// SPDX-License-Identifier: Apache-2.0
#include "child_process.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ropeway_test {
namespace {

// What a child needs, made before the fork: behind it only system calls are allowed.
struct prepared_child {
    std::vector<char*> words{};
    const char* folder = nullptr;
    int input = -1;
    int output = -1;
    int death_signal = 0;
    child_user user{};
};

[[noreturn]] void become(const prepared_child& what) {
    if (what.user.change) {
        // The plain calls: the C library's would signal threads that the child does not have.
        if (::syscall(SYS_setgroups, 0, nullptr) != 0 ||
            ::syscall(SYS_setresgid, what.user.gid, what.user.gid, what.user.gid) != 0 ||
            ::syscall(SYS_setresuid, what.user.uid, what.user.uid, what.user.uid) != 0) {
            ::_exit(126);
        }
    }
    // Behind the change of user, which clears it.
    if (what.death_signal != 0) {
        ::prctl(PR_SET_PDEATHSIG, what.death_signal);
    }
    // A terminal's Ctrl-C is for the test, which then ends its server itself.
    ::setsid();
    ::dup2(what.input, 0);
    ::dup2(what.output, 1);
    ::dup2(what.output, 2);
    ::syscall(SYS_close_range, 3U, ~0U, 0U);
    if (*what.folder != '\0' && ::chdir(what.folder) != 0) {
        ::_exit(126);
    }
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::execv(what.words[0], what.words.data());
    ::_exit(127);
}

std::string read_file(const std::string& name) {
    std::ifstream in{name, std::ios::binary};
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

// The fields of /proc/PID/stat behind the name, which may itself hold spaces and brackets.
std::string stat_of(pid_t pid) {
    const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat");
    const auto end = text.rfind(')');
    return end == std::string::npos || end + 2 > text.size() ? std::string{} : text.substr(end + 2);
}

}  // namespace

child_user server_user() {
    if (::geteuid() != 0) {
        return {};
    }
    for (const char* name : {"postgres", "nobody"}) {
        if (const passwd* found = ::getpwnam(name)) {
            return {.uid = found->pw_uid, .gid = found->pw_gid, .change = true};
        }
    }
    return {.uid = 65534, .gid = 65534, .change = true};
}

pid_t start_child(const child_params& how) {
    std::vector<std::string> words = how.command;
    prepared_child what{
        .folder = how.folder.c_str(), .death_signal = how.death_signal, .user = how.user};
    std::transform(words.begin(), words.end(), std::back_inserter(what.words),
                   [](std::string& word) { return word.data(); });
    what.words.push_back(nullptr);
    const char* output = how.output.empty() ? "/dev/null" : how.output.c_str();
    what.output = ::open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    what.input = how.input >= 0 ? how.input : ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    const pid_t pid = ::fork();
    if (pid == 0) {
        become(what);
    }
    const int failed = errno;
    ::close(what.output);
    if (how.input < 0) {
        ::close(what.input);
    }
    if (pid < 0) {
        throw std::system_error{failed, std::generic_category(), "fork"};
    }
    return pid;
}

bool wait_ended(pid_t pid, std::chrono::milliseconds limit) {
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0U));
    if (fd < 0) {
        return true;
    }
    pollfd one{.fd = fd, .events = POLLIN, .revents = 0};
    const auto until = std::chrono::steady_clock::now() + limit;
    int ready = 0;
    do {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        ready = ::poll(&one, 1, static_cast<int>(std::max<std::int64_t>(0, left.count())));
    } while (ready < 0 && errno == EINTR);
    ::close(fd);
    return ready > 0;
}

int end_child(pid_t pid, int signal, std::chrono::milliseconds limit) {
    ::kill(pid, signal);
    if (!wait_ended(pid, limit)) {
        ::kill(pid, SIGKILL);
    }
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

void run_child(const child_params& how, std::chrono::milliseconds limit) {
    const pid_t pid = start_child(how);
    const bool ended = wait_ended(pid, limit);
    const int status = end_child(pid, ended ? 0 : SIGKILL, std::chrono::seconds{10});
    if (!ended || !WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        std::string text = how.command.front();
        text += ended ? " failed (wait status " + std::to_string(status) + ")" : " did not end";
        throw std::runtime_error{text + ":\n" + tail_of(how.output)};
    }
}

std::vector<pid_t> children_of(pid_t parent) {
    std::vector<pid_t> found;
    std::error_code gone;
    for (const auto& entry : std::filesystem::directory_iterator{"/proc", gone}) {
        const std::string name = entry.path().filename();
        if (name.find_first_not_of("0123456789") != std::string::npos) {
            continue;
        }
        const auto pid = static_cast<pid_t>(std::stol(name));
        const std::string stat = stat_of(pid);
        if (stat.size() > 2 && std::strtol(stat.c_str() + 2, nullptr, 10) == parent) {
            found.push_back(pid);
        }
    }
    return found;
}

std::string command_of(pid_t pid) {
    std::string text = read_file("/proc/" + std::to_string(pid) + "/cmdline");
    std::replace(text.begin(), text.end(), '\0', ' ');
    return text;
}

char state_of(pid_t pid) {
    const std::string stat = stat_of(pid);
    return stat.empty() ? '\0' : stat.front();
}

std::string tail_of(const std::string& file, std::size_t bytes) {
    const std::string text = read_file(file);
    return text.size() > bytes ? text.substr(text.size() - bytes) : text;
}

void pause_for(std::chrono::microseconds span) {
    // Not a sleep that anything relies on: callers look again afterwards, to a bound.
    const timespec time{.tv_sec = span.count() / 1'000'000,
                        .tv_nsec = (span.count() % 1'000'000) * 1000};
    ::ppoll(nullptr, 0, &time, nullptr);
}

}  // namespace ropeway_test
