# SPDX-License-Identifier: Apache-2.0
# A program that links the dispatcher on threads and the simulated one is refused when it is configured.
file(REMOVE_RECURSE ${WORK})
execute_process(COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE} -B ${WORK} -DBOTH=ON -DPROGRAM=${PROGRAM}
        -DCMAKE_PREFIX_PATH=${STAGE} -DCMAKE_CXX_COMPILER=${CXX}
    RESULT_VARIABLE status OUTPUT_QUIET ERROR_VARIABLE errors)
if(status EQUAL 0 OR NOT errors MATCHES "ROPEWAY_THREADS")
    message(FATAL_ERROR "core and simulation in one program are not refused by name: ${errors}")
endif()
