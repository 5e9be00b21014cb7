# One library for each folder of src/: what a target does not link, its sources cannot include.
include(GNUInstallDirs)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

find_program(REBASED_CCACHE ccache)
if(REBASED_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${REBASED_CCACHE})
endif()

add_library(rebased_flags INTERFACE)
target_compile_features(rebased_flags INTERFACE cxx_std_20)
target_include_directories(rebased_flags INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/rebased>)
target_compile_options(rebased_flags INTERFACE
  "$<BUILD_INTERFACE:-Wall;-Wextra;-Wshadow;-Wnon-virtual-dtor;-Woverloaded-virtual>"
  $<BUILD_INTERFACE:$<$<BOOL:${REBASED_WERROR}>:-Werror>>)
if(REBASED_SANITIZE)
  target_compile_options(rebased_flags INTERFACE
    -fsanitize=${REBASED_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(rebased_flags INTERFACE -fsanitize=${REBASED_SANITIZE})
  # Kernels are compiled once for each instruction set; those between the baseline and AVX2 would only double the time.
  target_compile_definitions(rebased_flags INTERFACE "HWY_DISABLED_TARGETS=(HWY_SSSE3|HWY_SSE4)")
endif()
# mold 2.3 and older (Debian 12 has 1.10) are left alone: where thread-local zeros end a page they ask the loader to protect
# a page that is not there (rui314/mold#1151), and 1.10 was seen not to come to an end.
find_program(REBASED_MOLD mold)
if(REBASED_MOLD)
  execute_process(COMMAND ${REBASED_MOLD} --version OUTPUT_VARIABLE mold_version)
  string(REGEX MATCH "[0-9]+[.][0-9]+" mold_version "${mold_version}")
  if(mold_version VERSION_GREATER_EQUAL 2.4)
    target_link_options(rebased_flags INTERFACE $<BUILD_INTERFACE:-fuse-ld=mold>)
  endif()
endif()

# rebased_export(TARGET NAME [DEPENDS targets...]): installed as rebased::NAME, by the package's main part or, when it
# stands on torch, by its component "torch": REBASED_COMPONENT passes from a target to those that link it.
function(rebased_export target name)
  cmake_parse_arguments(arg "" "" "DEPENDS" ${ARGN})
  set(component main)
  foreach(dependency IN LISTS arg_DEPENDS)
    if(TARGET ${dependency})
      get_target_property(inherited ${dependency} REBASED_COMPONENT)
      if(inherited STREQUAL torch)
        set(component torch)
      endif()
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} REBASED_COMPONENT ${component})
  install(TARGETS ${target} EXPORT rebased_${component})
endfunction()
rebased_export(rebased_flags flags)

# rebased_library(NAME [SOURCES patterns...] DEPENDS targets...): library rebased_NAME from the files beside the caller
# that match the patterns: *.cc where none are given.
# Sources are globbed with CONFIGURE_DEPENDS so that a new mixer or kernel is one new file.
function(rebased_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS" ${ARGN})
  if(NOT arg_SOURCES)
    set(arg_SOURCES *.cc)
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${arg_SOURCES})
  add_library(rebased_${name} STATIC ${sources})
  add_library(rebased::${name} ALIAS rebased_${name})
  target_link_libraries(rebased_${name} PUBLIC rebased_flags ${arg_DEPENDS})
  rebased_export(rebased_${name} ${name} DEPENDS ${arg_DEPENDS})
endfunction()

# rebased_composites(NAME FUNCTION "RESULT SUFFIX(ARGUMENTS)" DEPENDS targets...): library rebased_NAME from the torch.cc of
# the folders beside the caller, each of which defines FOLDERSUFFIX, and from composites.cc.in, which lists them all.
function(rebased_composites name)
  cmake_parse_arguments(arg "" "FUNCTION" "DEPENDS" ${ARGN})
  string(REGEX MATCH "^(.*) (_[a-z]+)(\\(.*\\))$" whole "${arg_FUNCTION}")
  set(result "${CMAKE_MATCH_1}")
  set(suffix "${CMAKE_MATCH_2}")
  set(arguments "${CMAKE_MATCH_3}")
  file(GLOB files RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS */torch.cc)
  foreach(file ${files})
    get_filename_component(folder ${file} DIRECTORY)
    string(APPEND composite_declarations "${result} ${folder}${suffix}${arguments};\n")
    string(APPEND composite_lines "    {\"${folder}\", ${folder}${suffix}},\n")
  endforeach()
  configure_file(composites.cc.in composites.cc @ONLY)
  rebased_library(${name} SOURCES */torch.cc ${CMAKE_CURRENT_BINARY_DIR}/composites.cc DEPENDS ${arg_DEPENDS} rebased_torch)
endfunction()

# rebased_test(NAME [PROCESSES n] DEPENDS targets...): GoogleTest executable NAME_tests from the *.cc files beside the
# caller. Each test is a process of its own, or n share them all: libtorch takes half a second to load.
function(rebased_test name)
  cmake_parse_arguments(arg "" "PROCESSES" "DEPENDS;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  add_executable(${name}_tests ${sources})
  target_link_libraries(${name}_tests PRIVATE rebased_flags ${arg_DEPENDS} GTest::gmock GTest::gtest GTest::gtest_main)
  target_include_directories(${name}_tests PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(${name}_tests PRIVATE REBASED_TESTS_DIR="${PROJECT_SOURCE_DIR}/tests")
  if(arg_PROCESSES)
    foreach(share RANGE 1 ${arg_PROCESSES})
      math(EXPR index "${share} - 1")
      add_test(NAME ${name}.${share} COMMAND ${name}_tests)
      set_tests_properties(${name}.${share} PROPERTIES TIMEOUT 600
        ENVIRONMENT "GTEST_TOTAL_SHARDS=${arg_PROCESSES};GTEST_SHARD_INDEX=${index}")
    endforeach()
  else()
    gtest_discover_tests(${name}_tests TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600)
  endif()
endfunction()
