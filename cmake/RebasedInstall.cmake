# cmake --install BUILD --prefix DIR: libraries, headers and the package that find_package(rebased) reads. A program
# is installed where it is defined.
# Headers keep their places of src/ under include/rebased/, which the targets put on the include path.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/rebased)

set(headers_left_out PATTERN cli EXCLUDE PATTERN train_cli EXCLUDE PATTERN "*-inl.h" EXCLUDE)
if(NOT REBASED_TORCH)
  list(APPEND headers_left_out PATTERN engine/torch EXCLUDE PATTERN train EXCLUDE)
endif()
install(DIRECTORY ${PROJECT_SOURCE_DIR}/src/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/rebased
  FILES_MATCHING PATTERN "*.h" ${headers_left_out})

install(EXPORT rebased_main NAMESPACE rebased:: FILE rebasedTargets.cmake DESTINATION ${package_dir})
if(REBASED_TORCH)
  install(EXPORT rebased_torch NAMESPACE rebased:: FILE rebasedTorchTargets.cmake DESTINATION ${package_dir})
endif()
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/rebasedConfig.cmake.in
  ${PROJECT_BINARY_DIR}/rebasedConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/rebasedConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/rebasedConfig.cmake ${PROJECT_BINARY_DIR}/rebasedConfigVersion.cmake
  DESTINATION ${package_dir})
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
