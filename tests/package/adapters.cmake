# SPDX-License-Identifier: Apache-2.0
# Where a client library is not found its adapter is left out, which is said; asked for by name it is an error.
function(configure result)
    file(REMOVE_RECURSE ${WORK})
    execute_process(COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE} -B ${WORK} -DCMAKE_CXX_COMPILER=${CXX}
            -DCMAKE_DISABLE_FIND_PACKAGE_SQLite3=ON -DCMAKE_DISABLE_FIND_PACKAGE_libpq=ON ${ARGN}
        RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE errors)
    set(${result} ${status} PARENT_SCOPE)
    set(text "${output}${errors}" PARENT_SCOPE)
endfunction()

configure(status)
if(NOT status EQUAL 0)
    message(FATAL_ERROR "without SQLite and libpq nothing is configured: ${text}")
endif()
foreach(adapter sqlite postgres)
    if(NOT text MATCHES "component ${adapter} is not built: [A-Za-z0-9]+ was not found")
        message(FATAL_ERROR "nothing says that ${adapter} is left out: ${text}")
    endif()
    string(TOUPPER ${adapter} name)
    configure(status -DROPEWAY_WITH_${name}=ON)
    if(status EQUAL 0)
        message(FATAL_ERROR "${adapter} was asked for and left out all the same")
    endif()
endforeach()
configure(status -DROPEWAY_WITH_SQLITE=OFF -DROPEWAY_WITH_POSTGRES=OFF)
if(NOT status EQUAL 0 OR text MATCHES "is not built")
    message(FATAL_ERROR "adapters that are not wanted are missed: ${text}")
endif()
