// SPDX-License-Identifier: Apache-2.0
//
// The stack of the place that threw the exception being handled. Captured only in programs that
// link the component `ropeway::throw_sites` (option ROPEWAY_THROW_SITES does, as the dev preset
// sets it): it stands before the C++ runtime's __cxa_throw. Without it every stack is empty. Each
// thread sees its own throws only.
#pragma once

#include <cstdint>
#include <string>

namespace ropeway {

/// Return addresses, innermost (the throwing function) first. A plain value; never allocates.
struct captured_stack {
    static constexpr std::uint32_t max_frames = 16;

    std::uint32_t depth = 0;     ///< how many of `frames` are set; 0 = nothing was captured
    void* frames[max_frames]{};  ///< return addresses, valid while their module stays loaded
};

/// True when this program links ropeway::throw_sites, so that throws are captured.
[[nodiscard]] bool throw_sites_linked() noexcept;

/// The throw site of the exception that the calling thread handles now. Call it inside a `catch`;
/// outside of one it is the thread's latest throw. Empty when the component is not linked, when
/// the exception was thrown by another thread (std::rethrow_exception), or when the thread threw
/// more than three others since. Rethrowing by `throw;` keeps the first site.
/// Ownership: the calling thread's; copy it before the thread throws again. Never allocates.
[[nodiscard]] const captured_stack& last_throw() noexcept;

/// One line per frame: "#0 ns::function(int)+0x1c (program)"; a function that its program does not
/// export (link with -rdynamic to export all) is "#0 program+0x4f2c", as addr2line takes it.
/// Allocates and takes the loader's lock: never call it on a worker. Throws std::bad_alloc only.
[[nodiscard]] std::string render_stack(const captured_stack& stack);

}  // namespace ropeway
