#include <gtest/gtest.h>

#include <filesystem>
#include <set>
#include <string>

#include "cores/core_case.h"

namespace rebased::testing {
namespace {

TEST(CoreFamilies, EveryFolderHasOne) {
  std::set<std::string> folders, families;
  for (const auto& entry : std::filesystem::directory_iterator(REBASED_TESTS_DIR "/../src/cores")) {
    if (entry.is_directory()) folders.insert(entry.path().filename());
  }
  for (const CoreFamily& family : core_families()) families.insert(family.folder);
  EXPECT_EQ(families, folders) << "cases are listed in tests/cores/core_cases.cc";
}

}  // namespace
}  // namespace rebased::testing
