# SPDX-License-Identifier: Apache-2.0
# The core is built once more, by add_subdirectory(), without RTTI and as a unity, both of which a user's project may
# ask of all that it builds; and the user's program runs.
file(REMOVE_RECURSE ${WORK})
execute_process(COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -S ${SOURCE} -B ${WORK} -DCMAKE_UNITY_BUILD=ON
        -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DCMAKE_CXX_FLAGS=-fno-rtti
        -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER} -DROPEWAY_SOURCE_DIR=${ROPEWAY}
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT status EQUAL 0)
    message(FATAL_ERROR "the core's user is not configured: ${output}")
endif()
execute_process(COMMAND ${CMAKE_COMMAND} --build ${WORK} --config Debug --parallel 2
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT status EQUAL 0)
    message(FATAL_ERROR "the core is not built without RTTI and as a unity: ${output}")
endif()
find_program(program outside_consumer PATHS ${WORK} ${WORK}/Debug NO_DEFAULT_PATH REQUIRED)
execute_process(COMMAND ${program} COMMAND_ERROR_IS_FATAL ANY)
