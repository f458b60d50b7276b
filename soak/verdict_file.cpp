// SPDX-License-Identifier: Apache-2.0
#include "verdict_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "options.hpp"

namespace ropeway::soak {

namespace {

/// A new file of that name, or -1 and errno.
[[nodiscard]] int create(const std::string& path) noexcept {
    return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
}

[[nodiscard]] bool write_all(int file, std::string_view text) noexcept {
    while (!text.empty()) {
        const ssize_t length = ::write(file, text.data(), text.size());
        if (length < 0 && errno == EINTR) {
            continue;
        }
        if (length <= 0) {
            return false;
        }
        text.remove_prefix(static_cast<std::size_t>(length));
    }
    return ::fsync(file) == 0;
}

}  // namespace

verdict_file::verdict_file(std::string path) : path_(std::move(path)) {
    if (path_.empty()) {
        return;
    }
    temporary_ = path_ + ".tmp-" + std::to_string(::getpid());
    struct stat there {};
    if (::stat(path_.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) {
        throw usage_error("--verdict " + path_ +
                          ": is not a regular file. Give the name of a file to create or replace.");
    }
    const int file = create(temporary_);
    if (file < 0) {
        throw usage_error("--verdict " + path_ + ": cannot be written there (" +
                          std::strerror(errno) +
                          "). Give a file in a folder that exists and may be written.");
    }
    ::close(file);
    ::unlink(temporary_.c_str());
}

void verdict_file::write(std::string_view text) const {
    if (path_.empty()) {
        return;
    }
    const int file = create(temporary_);
    bool good = file >= 0 && write_all(file, text);
    int cause = good ? 0 : errno;
    if (file >= 0 && ::close(file) != 0 && good) {
        good = false;
        cause = errno;
    }
    if (good && std::rename(temporary_.c_str(), path_.c_str()) != 0) {
        good = false;
        cause = errno;
    }
    if (!good) {
        ::unlink(temporary_.c_str());
        throw std::runtime_error("the verdict could not be written to " + path_ + ": " +
                                 std::strerror(cause));
    }
}

}  // namespace ropeway::soak
