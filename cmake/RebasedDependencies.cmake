# Debian 12 packages; see tools/packages.txt for their names.

# rebased_requires(PACKAGE args...): finds a package here, and again wherever the installed libraries are used.
macro(rebased_requires package)
  find_package(${package} REQUIRED ${ARGN})
  string(JOIN " " REBASED_FIND_CALL ${package} ${ARGN})
  string(APPEND REBASED_FIND_DEPENDENCIES "find_dependency(${REBASED_FIND_CALL})\n")
endmacro()
rebased_requires(fmt)
rebased_requires(spdlog)
rebased_requires(nlohmann_json)
rebased_requires(Threads)
rebased_requires(OpenMP COMPONENTS CXX)
rebased_requires(hwy CONFIG)
find_package(CLI11 REQUIRED)

# BLAS with its C interface (OpenBLAS, OpenMP build).
find_path(REBASED_CBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas-openmp x86_64-linux-gnu/openblas-openmp openblas)
find_library(REBASED_CBLAS_LIBRARY NAMES openblas)
if(NOT REBASED_CBLAS_INCLUDE OR NOT REBASED_CBLAS_LIBRARY)
  message(FATAL_ERROR "OpenBLAS with cblas.h not found: install libopenblas-openmp-dev")
endif()
add_library(rebased_blas INTERFACE)
target_include_directories(rebased_blas SYSTEM INTERFACE $<BUILD_INTERFACE:${REBASED_CBLAS_INCLUDE}>)
target_link_libraries(rebased_blas INTERFACE $<BUILD_INTERFACE:${REBASED_CBLAS_LIBRARY}> $<INSTALL_INTERFACE:openblas>)
rebased_export(rebased_blas blas)

find_path(REBASED_TOMLPP_INCLUDE toml++/toml.h REQUIRED)

if(REBASED_TORCH)
  find_package(Torch REQUIRED)
endif()
if(REBASED_BUILD_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
  find_package(rapidcheck CONFIG)
endif()

# libtorch's headers as system headers, without the compile flags it would impose on us. Where the package is used,
# rebasedConfig.cmake fills this target with the libtorch found there.
if(REBASED_TORCH)
  add_library(rebased_torch INTERFACE)
  target_include_directories(rebased_torch SYSTEM INTERFACE "$<BUILD_INTERFACE:${TORCH_INCLUDE_DIRS}>")
  target_link_libraries(rebased_torch INTERFACE "$<BUILD_INTERFACE:${TORCH_LIBRARIES}>")
  set_target_properties(rebased_torch PROPERTIES EXPORT_NAME torch REBASED_COMPONENT torch)
  install(TARGETS rebased_torch EXPORT rebased_torch)
endif()
