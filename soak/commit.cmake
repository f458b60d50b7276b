# SPDX-License-Identifier: Apache-2.0
# cmake -DSOURCE=<checkout> -DOUTPUT=<commit.hpp> -P commit.cmake: the commit a program was built from,
# rewritten only when it changes. Without git, or outside a checkout: "unknown".
find_program(GIT git)
set(commit unknown)
if(GIT)
    execute_process(COMMAND ${GIT} -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
        OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        set(commit unknown)
    endif()
endif()
set(text "#pragma once\nnamespace ropeway {\ninline constexpr const char* built_from = \"${commit}\";\n}\n")
set(was "")
if(EXISTS ${OUTPUT})
    file(READ ${OUTPUT} was)
endif()
if(NOT was STREQUAL text)
    file(WRITE ${OUTPUT} "${text}")
endif()
