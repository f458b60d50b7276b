// SPDX-License-Identifier: Apache-2.0
#include "process_facts.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <chrono>
#include <fstream>
#include <string_view>
#include <thread>

namespace ropeway::soak {

std::uint64_t thread_count() {
    DIR* const tasks = ::opendir("/proc/self/task");
    if (tasks == nullptr) {
        return 0;
    }
    std::uint64_t count = 0;
    while (const dirent* const entry = ::readdir(tasks)) {
        count += entry->d_name[0] != '.' ? 1 : 0;
    }
    ::closedir(tasks);
    return count;
}

std::uint64_t threads_when_settled(std::uint64_t wanted) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{1};
    std::uint64_t now = thread_count();
    while (now != wanted && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
        now = thread_count();
    }
    return now;
}

double cpu_seconds() noexcept {
    timespec used{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
}

std::uint64_t resident_bytes() noexcept {
    const int file = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return 0;
    }
    std::array<char, 128> text{};
    const ssize_t length = ::read(file, text.data(), text.size());
    ::close(file);
    if (length <= 0) {
        return 0;
    }
    const std::string_view fields{text.data(), static_cast<std::size_t>(length)};
    const std::size_t space = fields.find(' ');
    std::uint64_t pages = 0;
    if (space != fields.npos) {
        std::from_chars(fields.data() + space + 1, fields.data() + fields.size(), pages);
    }
    return pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

std::string host_facts() {
    utsname system{};
    std::string out = ::uname(&system) == 0 ? std::string{system.sysname} + " " + system.release +
                                                  " " + system.machine
                                            : std::string{"unknown"};
    std::ifstream info{"/proc/cpuinfo"};
    for (std::string line; std::getline(info, line);) {
        if (line.rfind("model name", 0) == 0 && line.find(':') != line.npos) {
            out += ", " + line.substr(line.find(':') + 2);
            break;
        }
    }
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (::sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        out += ", " + std::to_string(CPU_COUNT(&allowed)) + " cpus";
    }
    return out;
}

memory_track::memory_track() : points_(capacity) {}

void memory_track::sample(std::uint64_t events) noexcept {
    if (calls_++ % every_ != 0) {
        return;
    }
    if (used_ == capacity) {
        for (std::size_t i = 0; i < capacity / 2; ++i) {
            points_[i] = points_[2 * i];
        }
        used_ = capacity / 2;
        every_ *= 2;
    }
    points_[used_++] = {events, resident_bytes()};
}

memory_track::growth memory_track::result() const noexcept {
    if (used_ == 0) {
        return {};
    }
    const point& end = points_[used_ - 1];
    for (std::size_t i = 0; i < used_; ++i) {
        if (points_[i].events >= end.events / 10) {
            return {points_[i].bytes, end.bytes, end.events - points_[i].events};
        }
    }
    return {end.bytes, end.bytes, 0};
}

}  // namespace ropeway::soak
