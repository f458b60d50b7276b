// SPDX-License-Identifier: Apache-2.0
//
// The one header through which tests see Catch2: it hides the difference between v2 (Debian 12) and
// v3. Assertions are not thread-safe: collect results in other threads, assert on the main one.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
namespace ropeway_test {
using Catch::Approx;
}
#else
#include <catch2/catch.hpp>
namespace ropeway_test {
using Catch::Detail::Approx;
}
#endif

namespace ropeway_test {

/// Where a test program itself may write: descriptors 1 and 2, or, while quiet_listener.cpp watches
/// these, copies of what they were. Set before the first test case begins.
inline int own_output = 1;
inline int own_errors = 2;

/// Prints a line of the test's own (a measured number) like printf, also where descriptors 1 and 2
/// are watched.
[[gnu::format(printf, 1, 2)]] inline void say(const char* format, ...) {
    std::va_list arguments;
    va_start(arguments, format);
    ::vdprintf(own_output, format, arguments);
    va_end(arguments);
}

/// The exit code that ctest counts as "skipped"; Catch2 v2 has no skip of its own.
inline constexpr int skip_exit_code = 77;

/// Ends the whole program as skipped: for a test that this machine cannot run at all (no second
/// CPU, no such device). The reason is printed; ctest shows the test as skipped, not as passed.
[[noreturn]] inline void skip_program(const char* reason) {
    std::fflush(nullptr);
    ::dprintf(own_errors, "skipped: %s\n", reason);
    std::_Exit(skip_exit_code);
}

}  // namespace ropeway_test

#define ROPEWAY_SKIP(reason) ::ropeway_test::skip_program(reason)
