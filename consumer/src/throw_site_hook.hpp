// SPDX-License-Identifier: Apache-2.0
//
// The seam between the consumer library and the optional component ropeway::throw_sites: one weak
// function, absent when the component is not linked. Private.
#pragma once

#include <ropeway/consumer/throw_site.hpp>

/// The calling thread's stack of the throw of `object` (an exception object's address), or of its
/// latest throw when `object` is null; null when the thread threw no such object lately.
extern "C" const ropeway::captured_stack* ropeway_find_throw(const void* object) noexcept
    __attribute__((weak));
