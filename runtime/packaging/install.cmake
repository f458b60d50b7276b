# SPDX-License-Identifier: Apache-2.0
# The install: find_package(ropeway CONFIG COMPONENTS core | mimalloc | simulation | testing | sqlite | postgres | database |
# runtime). Each component has an export file of its own, so that a program which asks for core never looks for spdlog,
# zlib, mimalloc, libpq or SQLite.
include(CMakePackageConfigHelpers)
set(ropeway_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ropeway)

function(ropeway_install_component component)
    foreach(target IN LISTS ARGN)
        get_target_property(header_sets ${target} INTERFACE_HEADER_SETS)
        if(header_sets)
            install(TARGETS ${target} EXPORT ropeway-${component} FILE_SET HEADERS)
        else()
            install(TARGETS ${target} EXPORT ropeway-${component})
        endif()
    endforeach()
    install(EXPORT ropeway-${component} NAMESPACE ropeway:: DESTINATION ${ropeway_cmake_dir})
endfunction()

set_target_properties(ropeway_core PROPERTIES EXPORT_NAME core)
ropeway_install_component(core ropeway_pool ropeway_consumer ropeway_throw_sites ropeway_dispatcher ropeway_core)
foreach(component mimalloc simulation testing sqlite postgres database runtime)
    if(TARGET ropeway_${component})
        ropeway_install_component(${component} ropeway_${component})
    endif()
endforeach()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/ropewayConfig.cmake.in
    ${PROJECT_BINARY_DIR}/ropewayConfig.cmake INSTALL_DESTINATION ${ropeway_cmake_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ropewayConfigVersion.cmake
    VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ropewayConfig.cmake ${PROJECT_BINARY_DIR}/ropewayConfigVersion.cmake
    ${PROJECT_SOURCE_DIR}/pool/cmake/Findconcurrentqueue.cmake ${PROJECT_SOURCE_DIR}/pool/cmake/Findlibpq.cmake
    DESTINATION ${ropeway_cmake_dir})
