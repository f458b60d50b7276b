# SPDX-License-Identifier: Apache-2.0
# The core is built once more, by add_subdirectory() and without RTTI, and its user's program runs. As a unity, several
# files to one run of the compiler, a third of the work; where files of one unity use the same name, each alone.
function(build unity result)
    file(REMOVE_RECURSE ${WORK})
    execute_process(COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE} -B ${WORK} -DCMAKE_UNITY_BUILD=${unity}
            -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DCMAKE_CXX_FLAGS=-fno-rtti
            -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -DROPEWAY_SOURCE_DIR=${ROPEWAY}
        RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "the core's user is not configured: ${output}")
    endif()
    execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK} --config Debug --parallel 2
        RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
    set(${result} ${status} PARENT_SCOPE)
    set(output "${output}" PARENT_SCOPE)
endfunction()

build(ON status)
if(NOT status EQUAL 0)
    message(STATUS "not as a unity: ${output}")
    build(OFF status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "the core is not built without RTTI: ${output}")
    endif()
endif()
find_program(program outside_consumer PATHS ${WORK} ${WORK}/Debug NO_DEFAULT_PATH REQUIRED)
execute_process(COMMAND ${program} COMMAND_ERROR_IS_FATAL ANY)
