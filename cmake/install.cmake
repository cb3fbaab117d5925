# librtmdl.so, what programs open (include/rtmdl/runtime.h), and an installed tree that find_package(rtmdl) finds.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

# Public functions of src/base that nothing in src/api calls are in it as well.
add_library(rtmdl_shared SHARED $<TARGET_OBJECTS:rtmdl_api> $<TARGET_OBJECTS:rtmdl_base>)
add_library(rtmdl::rtmdl ALIAS rtmdl_shared)
set_target_properties(rtmdl_shared PROPERTIES OUTPUT_NAME rtmdl EXPORT_NAME rtmdl
                      LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
                      VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
                      LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/rtmdl.map
                      INSTALL_RPATH "$ORIGIN")
target_link_libraries(rtmdl_shared PRIVATE rtmdl_runtime)
target_link_options(rtmdl_shared PRIVATE LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/rtmdl.map LINKER:--as-needed
                    LINKER:--no-undefined)
target_include_directories(rtmdl_shared INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                           $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(rtmdl_shared INTERFACE cxx_std_20)

install(TARGETS rtmdl_shared EXPORT rtmdl LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT rtmdl NAMESPACE rtmdl:: FILE rtmdl-targets.cmake DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/rtmdl)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/rtmdl DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# The one that the library was built with: no system has it.
file(REAL_PATH ${ONNXRUNTIME_LIBRARY} onnxruntime_file)
install(FILES ${onnxruntime_file} DESTINATION ${CMAKE_INSTALL_LIBDIR} RENAME libonnxruntime.so.1)
get_filename_component(onnxruntime_folder ${onnxruntime_file} DIRECTORY)
file(GLOB onnxruntime_providers ${onnxruntime_folder}/libonnxruntime_providers_*.so)
install(FILES ${onnxruntime_providers} DESTINATION ${CMAKE_INSTALL_LIBDIR})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/rtmdl-config.cmake.in rtmdl-config.cmake
                              INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/rtmdl)
write_basic_package_version_file(rtmdl-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/rtmdl-config.cmake ${PROJECT_BINARY_DIR}/rtmdl-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/rtmdl)

set_target_properties(rtmdl_cli PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
install(TARGETS rtmdl_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(plug_in rtmdl_training_plugin rtmdl_mpi_plugin)
  if(TARGET ${plug_in})
    set_target_properties(${plug_in} PROPERTIES BUILD_WITH_INSTALL_RPATH ON)  # what they link is the system's
    install(TARGETS ${plug_in} LIBRARY DESTINATION lib/rtmdl)  # where PlugIn looks
  endif()
endforeach()
