// SPDX-License-Identifier: Apache-2.0
#include <ropeway/consumer/wrapper.hpp>

#include <chrono>
#include <cstring>

namespace ropeway::detail {
namespace {

void copy_text(failure_record& record, const char* text) noexcept {
    constexpr std::size_t room = sizeof(record.what) - 1;
    const std::size_t length = std::strlen(text);
    std::memcpy(record.what, text, std::min(length, room));
    if (length > room) {
        std::memcpy(record.what + room - 3, "...", 3);  // marks a text that was cut
    }
}

}  // namespace

void record_failure(failure_record& record, failure_sink* sink) noexcept {
    record.stack = last_throw();
    record.at_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
    try {
        throw;
    } catch (const std::exception& error) {
        copy_text(record, error.what());
    } catch (const char* text) {
        copy_text(record, text == nullptr ? "(null)" : text);
    } catch (...) {
        copy_text(record, "not a std::exception");
    }
    if (sink != nullptr) {
        sink->push(record);
    }
}

}  // namespace ropeway::detail
