// SPDX-License-Identifier: Apache-2.0
//
// Component ropeway::throw_sites: stands before the C++ runtime's __cxa_throw, notes where the
// thread is, and goes on to the real one (through the sanitizer's, if there is one). Frames are
// walked by frame pointer, inside the thread's own stack only. A throw from a library (say
// std::vector::at, whose library keeps no frame pointers) is walked by the unwinder that is about
// to carry the exception anyway. Linked by name (-u), so an archive's rules cannot leave it out.
#include <cstddef>
#include <cstdint>
#include <exception>
#include <typeinfo>

#include <cxxabi.h>
#include <dlfcn.h>
#include <pthread.h>
#include <unwind.h>

#include "throw_site_hook.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROPEWAY_NO_SANITIZE __attribute__((no_sanitize("address", "thread", "undefined")))
#else
#define ROPEWAY_NO_SANITIZE
#endif

// Set by the linker: where the program's own code lies.
extern "C" const char __executable_start;
extern "C" const char etext;

namespace {

using ropeway::captured_stack;
using throw_function = void (*)(void*, std::type_info*, void (*)(void*));

/// The thread's latest throws, so that a destructor which throws and catches while the stack
/// unwinds does not hide the throw that is under way.
struct throw_notes {
    static constexpr std::uint32_t kept = 4;
    const void* objects[kept]{};
    captured_stack stacks[kept]{};
    std::uint32_t next = 0;
};

/// Where the thread's stack ends; asked for once per thread (it costs a system call or more).
struct stack_end {
    bool known = false;
    std::uintptr_t address = 0;
};

thread_local throw_notes notes;       // guarded by: its thread
thread_local stack_end end_of_stack;  // guarded by: its thread

std::uintptr_t this_stack_end() noexcept {
    if (!end_of_stack.known) {
        end_of_stack.known = true;
        pthread_attr_t attributes;
        if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
            void* low = nullptr;
            std::size_t bytes = 0;
            if (pthread_attr_getstack(&attributes, &low, &bytes) == 0) {
                end_of_stack.address = reinterpret_cast<std::uintptr_t>(low) + bytes;
            }
            pthread_attr_destroy(&attributes);
        }
    }
    return end_of_stack.address;
}

/// Walks frames from `frame`. Every frame read lies above the one before and below the stack's
/// end, so it is mapped, whatever a function without frame pointers left in the register.
ROPEWAY_NO_SANITIZE void walk_frames(captured_stack& out, const void* frame) noexcept {
    const std::uintptr_t end = this_stack_end();
    auto at = reinterpret_cast<std::uintptr_t>(frame);
    while (out.depth < captured_stack::max_frames) {
        if (at % alignof(void*) != 0 || at >= end || end - at < 2 * sizeof(void*)) {
            return;
        }
        const auto* words = reinterpret_cast<void* const*>(at);
        if (words[1] == nullptr) {
            return;
        }
        out.frames[out.depth++] = words[1];
        const auto above = reinterpret_cast<std::uintptr_t>(words[0]);
        if (above <= at) {
            return;
        }
        at = above;
    }
}

struct unwind_walk {
    captured_stack* out;
    bool inside;  ///< false until the throwing frame is reached: skips our own frames
    const void* first;
};

_Unwind_Reason_Code take_frame(_Unwind_Context* context, void* argument) noexcept {
    auto& walk = *static_cast<unwind_walk*>(argument);
    auto* address = reinterpret_cast<void*>(_Unwind_GetIP(context));
    walk.inside = walk.inside || address == walk.first;
    if (walk.inside) {
        walk.out->frames[walk.out->depth++] = address;
    }
    return walk.out->depth == captured_stack::max_frames ? _URC_END_OF_STACK : _URC_NO_REASON;
}

bool in_program(const void* address) noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    return at >= reinterpret_cast<std::uintptr_t>(&__executable_start) &&
           at < reinterpret_cast<std::uintptr_t>(&etext);
}

void note_throw(const void* object, void* return_address, const void* frame) noexcept {
    const std::uint32_t place = notes.next++ % throw_notes::kept;
    captured_stack& stack = notes.stacks[place];
    notes.objects[place] = object;
    stack.depth = 0;
    if (in_program(return_address)) {
        walk_frames(stack, frame);
    } else {
        unwind_walk walk{&stack, false, return_address};
        _Unwind_Backtrace(&take_frame, &walk);
    }
    if (stack.depth == 0) {  // a stack that is not the thread's own (a fiber): one frame is sure
        stack.frames[stack.depth++] = return_address;
    }
}

/// The next __cxa_throw in the program's search order.
throw_function real_throw() noexcept {
    static const auto found = reinterpret_cast<throw_function>(dlsym(RTLD_NEXT, "__cxa_throw"));
    return found;
}

}  // namespace

extern "C" const captured_stack* ropeway_find_throw(const void* object) noexcept {
    for (std::uint32_t back = 1; back <= throw_notes::kept && back <= notes.next; ++back) {
        const std::uint32_t place = (notes.next - back) % throw_notes::kept;
        if (object == nullptr || notes.objects[place] == object) {
            return &notes.stacks[place];
        }
    }
    return nullptr;
}

namespace __cxxabiv1 {

extern "C" void __cxa_throw(void* object, std::type_info* type, void (*destructor)(void*)) {
    note_throw(object, __builtin_return_address(0), __builtin_frame_address(0));
    if (const throw_function next = real_throw(); next != nullptr) {
        next(object, type, destructor);
    }
    std::terminate();
}

}  // namespace __cxxabiv1
