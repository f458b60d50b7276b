// SPDX-License-Identifier: Apache-2.0
//
// The umbrella: everything a program that uses the runtime needs. Reaches no third-party header.
#pragma once

#include <ropeway/runtime/runtime.hpp>
