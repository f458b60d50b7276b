// SPDX-License-Identifier: Apache-2.0
#include <ropeway/consumer/throw_site.hpp>

#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string_view>

#include <cxxabi.h>
#include <dlfcn.h>

#include "throw_site_hook.hpp"

namespace ropeway {
namespace {

const captured_stack no_stack{};

/// The address of the exception object being handled, or null. An exception_ptr is one pointer to
/// it in both C++ runtimes of Linux.
const void* handled_object() noexcept {
    static_assert(sizeof(std::exception_ptr) == sizeof(void*));
    const std::exception_ptr current = std::current_exception();
    const void* object = nullptr;
    std::memcpy(&object, &current, sizeof(object));
    return object;
}

void append_hex(std::string& out, std::uintptr_t number) {
    constexpr std::string_view digits = "0123456789abcdef";
    int shift = 60;
    while (shift > 0 && (number >> shift) == 0) {
        shift -= 4;
    }
    out += "0x";
    for (; shift >= 0; shift -= 4) {
        out += digits[(number >> shift) & 15];
    }
}

std::string_view base_name(const char* path) noexcept {
    const std::string_view text = path == nullptr ? "?" : path;
    return text.substr(text.rfind('/') + 1);  // npos + 1 == 0: no slash, the whole text
}

void append_symbol(std::string& out, const char* symbol) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> readable{
        abi::__cxa_demangle(symbol, nullptr, nullptr, &status), &std::free};
    out += status == 0 && readable ? readable.get() : symbol;
}

void append_frame(std::string& out, void* frame) {
    const auto address = reinterpret_cast<std::uintptr_t>(frame);
    Dl_info info{};
    // A return address is one past its call; after a call that never returns that is the next
    // function already.
    if (dladdr(reinterpret_cast<void*>(address - 1), &info) == 0) {
        append_hex(out, address);
        return;
    }
    if (info.dli_sname == nullptr) {
        out += base_name(info.dli_fname);
        out += '+';
        append_hex(out, address - reinterpret_cast<std::uintptr_t>(info.dli_fbase));
        return;
    }
    append_symbol(out, info.dli_sname);
    out += '+';
    append_hex(out, address - reinterpret_cast<std::uintptr_t>(info.dli_saddr));
    out += " (";
    out += base_name(info.dli_fname);
    out += ')';
}

}  // namespace

bool throw_sites_linked() noexcept { return ropeway_find_throw != nullptr; }

const captured_stack& last_throw() noexcept {
    if (ropeway_find_throw == nullptr) {
        return no_stack;
    }
    const captured_stack* found = ropeway_find_throw(handled_object());
    return found == nullptr ? no_stack : *found;
}

std::string render_stack(const captured_stack& stack) {
    std::string out;
    for (std::uint32_t i = 0; i < stack.depth && i < captured_stack::max_frames; ++i) {
        if (i != 0) {
            out += '\n';
        }
        out += '#';
        out += std::to_string(i);
        out += ' ';
        append_frame(out, stack.frames[i]);
    }
    return out;
}

}  // namespace ropeway
