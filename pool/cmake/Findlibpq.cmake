# SPDX-License-Identifier: Apache-2.0
# libpq, PostgreSQL's client library. CMake's own FindPostgreSQL also wants the server's headers, which a client
# does not need and Debian's libpq-dev does not bring. Installed with the ropeway package, whose config calls it.
# Target: libpq::libpq; include it as <libpq-fe.h>.
find_path(libpq_INCLUDE_DIR NAMES libpq-fe.h PATH_SUFFIXES postgresql)
find_library(libpq_LIBRARY NAMES pq)
mark_as_advanced(libpq_INCLUDE_DIR libpq_LIBRARY)
if(libpq_INCLUDE_DIR AND EXISTS ${libpq_INCLUDE_DIR}/pg_config.h)
    file(STRINGS ${libpq_INCLUDE_DIR}/pg_config.h libpq_version_line REGEX "^#define PG_VERSION \"")
    string(REGEX REPLACE "^#define PG_VERSION \"([0-9.]+).*" "\\1" libpq_VERSION "${libpq_version_line}")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(libpq
    REQUIRED_VARS libpq_LIBRARY libpq_INCLUDE_DIR
    VERSION_VAR libpq_VERSION
    REASON_FAILURE_MESSAGE "on Debian: apt-get install libpq-dev")

if(libpq_FOUND AND NOT TARGET libpq::libpq)
    # An imported target's include directories are SYSTEM: its warnings are not ours.
    add_library(libpq::libpq UNKNOWN IMPORTED)
    set_target_properties(libpq::libpq PROPERTIES
        IMPORTED_LOCATION "${libpq_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${libpq_INCLUDE_DIR}")
endif()
