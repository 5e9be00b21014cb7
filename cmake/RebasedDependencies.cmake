# Debian 12 packages; see ./dev setup for their names.
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)
find_package(hwy REQUIRED CONFIG)

# BLAS with its C interface (OpenBLAS, OpenMP build).
find_path(REBASED_CBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas-openmp x86_64-linux-gnu/openblas-openmp openblas)
find_library(REBASED_CBLAS_LIBRARY NAMES openblas)
if(NOT REBASED_CBLAS_INCLUDE OR NOT REBASED_CBLAS_LIBRARY)
  message(FATAL_ERROR "OpenBLAS with cblas.h not found: install libopenblas-openmp-dev")
endif()
add_library(rebased_blas INTERFACE)
target_include_directories(rebased_blas SYSTEM INTERFACE $<BUILD_INTERFACE:${REBASED_CBLAS_INCLUDE}>)
target_link_libraries(rebased_blas INTERFACE $<BUILD_INTERFACE:${REBASED_CBLAS_LIBRARY}> $<INSTALL_INTERFACE:openblas>)

find_path(REBASED_TOMLPP_INCLUDE toml++/toml.h REQUIRED)

if(REBASED_TORCH)
  find_package(Torch REQUIRED)
endif()
if(REBASED_BUILD_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
  find_package(rapidcheck CONFIG)
endif()

# libtorch's headers as system headers, without the compile flags it would impose on us.
if(REBASED_TORCH)
  add_library(rebased_torch INTERFACE)
  target_include_directories(rebased_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
  target_link_libraries(rebased_torch INTERFACE ${TORCH_LIBRARIES})
endif()
