// SPDX-License-Identifier: Apache-2.0
#include "log_sink.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace ropeway::detail {
namespace {

/// Writes as much as the descriptor takes; returns how many bytes that was.
std::size_t write_some(int descriptor, std::string_view text) noexcept {
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t got = ::write(descriptor, text.data() + done, text.size() - done);
        if (got > 0) {
            done += static_cast<std::size_t>(got);
        } else if (got == 0 || errno != EINTR) {
            break;
        }
    }
    return done;
}

/// Takes the last `bytes` off a regular file. Returns whether it did.
bool take_back(int descriptor, std::size_t bytes) noexcept {
    struct stat facts {};
    if (::fstat(descriptor, &facts) != 0 || !S_ISREG(facts.st_mode) ||
        facts.st_size < static_cast<off_t>(bytes)) {
        return false;
    }
    return ::ftruncate(descriptor, facts.st_size - static_cast<off_t>(bytes)) == 0;
}

}  // namespace

spdlog::level::level_enum to_spdlog(log_level level) noexcept {
    switch (level) {
        case log_level::trace: return spdlog::level::trace;
        case log_level::debug: return spdlog::level::debug;
        case log_level::info: return spdlog::level::info;
        case log_level::warning: return spdlog::level::warn;
        case log_level::error: return spdlog::level::err;
        case log_level::off: break;
    }
    return spdlog::level::off;
}

log_level from_spdlog(spdlog::level::level_enum level) noexcept {
    switch (level) {
        case spdlog::level::trace: return log_level::trace;
        case spdlog::level::debug: return log_level::debug;
        case spdlog::level::info: return log_level::info;
        case spdlog::level::warn: return log_level::warning;
        case spdlog::level::err:
        case spdlog::level::critical: return log_level::error;
        default: return log_level::off;
    }
}

log_sink::log_sink(const logging_params& params)
    : to_standard_error_(params.to_standard_error), callback_(params.callback) {
    if (!params.file.empty()) {
        file_ = ::open(params.file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
        if (file_ < 0) {
            throw logging_error{params.file, errno};
        }
    }
}

log_sink::~log_sink() {
    if (file_ >= 0) {
        ::close(file_);
    }
}

void log_sink::log(const spdlog::details::log_msg& message) {
    // Relaxed: the queue's own lock orders what was queued before discard_rest() was called; a
    // line more or less that is written instead is as good.
    if (discarding_.load(std::memory_order_relaxed)) {
        discarded_.fetch_add(1, std::memory_order_release);  // pairs with discarded()
        return;
    }
    const std::string_view line{message.payload.data(), message.payload.size()};
    if (file_ >= 0) {
        write_file(line);
    }
    if (to_standard_error_ && write_some(STDERR_FILENO, line) != line.size()) {
        count_error();
    }
    if (callback_) {
        try {
            callback_(from_spdlog(message.level), line.substr(0, line.size() - 1));
        } catch (...) {
            count_error();
        }
    }
    // Release, pairs with written(): whoever saw the count sees what the callback did.
    written_.fetch_add(1, std::memory_order_release);
}

/// A line stands whole in the file or not at all: half a line (disk full) is taken back, or, where
/// that cannot be, ended before the next one.
void log_sink::write_file(std::string_view line) noexcept {
    if (torn_ && write_some(file_, "\n") == 1) {
        torn_ = false;
    }
    const std::size_t done = torn_ ? 0 : write_some(file_, line);
    if (done != line.size()) {
        count_error();
        torn_ = torn_ || (done != 0 && !take_back(file_, done));
    }
}

void log_sink::count_error() noexcept {
    write_errors_.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
}

void log_sink::discard_rest() noexcept {
    discarding_.store(true, std::memory_order_relaxed);  // relaxed: see log()
}

std::uint64_t log_sink::written() const noexcept {
    return written_.load(std::memory_order_acquire);  // pairs with log()
}

std::uint64_t log_sink::discarded() const noexcept {
    return discarded_.load(std::memory_order_acquire);  // pairs with log()
}

std::uint64_t log_sink::write_errors() const noexcept {
    return write_errors_.load(std::memory_order_relaxed);  // relaxed: a count
}

}  // namespace ropeway::detail
