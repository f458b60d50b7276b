// SPDX-License-Identifier: Apache-2.0
//
// The version is the one in the root CMakeLists.txt, compiled into the library so that a program
// reports what it was linked with, not the headers it was compiled against.
#include <ropeway/pool/version.hpp>

namespace ropeway {

std::string_view version() noexcept { return ROPEWAY_VERSION; }

}  // namespace ropeway
