# SPDX-License-Identifier: Apache-2.0
# moodycamel::ConcurrentQueue, for distributions that ship the headers without a CMake package (Debian's
# libconcurrentqueue-dev). Installed with the ropeway package, whose config calls it.
# Target: concurrentqueue::concurrentqueue; include it as <concurrentqueue/concurrentqueue.h>.
find_path(concurrentqueue_INCLUDE_DIR NAMES concurrentqueue/concurrentqueue.h)
mark_as_advanced(concurrentqueue_INCLUDE_DIR)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(concurrentqueue
    REQUIRED_VARS concurrentqueue_INCLUDE_DIR
    REASON_FAILURE_MESSAGE "on Debian: apt-get install libconcurrentqueue-dev")

if(concurrentqueue_FOUND AND NOT TARGET concurrentqueue::concurrentqueue)
    # An imported target's include directories are SYSTEM: its warnings are not ours.
    add_library(concurrentqueue::concurrentqueue INTERFACE IMPORTED)
    set_target_properties(concurrentqueue::concurrentqueue PROPERTIES
        INTERFACE_INCLUDE_DIRECTORIES "${concurrentqueue_INCLUDE_DIR}")
endif()
