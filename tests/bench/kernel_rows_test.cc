#include "bench/kernel_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace rebased {
namespace {

class KernelRows : public ::testing::TestWithParam<KernelRow> {};

// What lets a row be timed at all.
TEST_P(KernelRows, AgreeWithTheReference) {
  const KernelCase work = GetParam().make();
  EXPECT_LE(work.error(), GetParam().tolerance);
}

TEST_P(KernelRows, CountOperations) {
  EXPECT_GT(GetParam().forward_operations, 0);
  EXPECT_EQ(GetParam().make().backward != nullptr, GetParam().both_operations > GetParam().forward_operations);
}

std::vector<KernelRow> small_rows() {
  std::vector<KernelRow> rows;
  for (const KernelRow& row : kernel_rows()) {
    if (row.forward_operations < 2e9) rows.push_back(row);
  }
  return rows;
}

INSTANTIATE_TEST_SUITE_P(Small, KernelRows, ::testing::ValuesIn(small_rows()), [](const auto& test) {
  std::string name = test.param.name;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
});

TEST(KernelRowNames, AreDistinct) {
  std::set<std::string> names;
  for (const KernelRow& row : kernel_rows()) names.insert(row.name);
  EXPECT_EQ(names.size(), kernel_rows().size());
}

// ReBased, a token and head at Dk 2, Dv 1, T 3: pairs (2*2 + 2*1 + 3) * 2 = 18 forward, (6*2 + 4*1 + 6) * 2 = 44 more
// for the gradient; the state's 3 features cost 3 * (4 + 4 + 3) = 33.
TEST(KernelRowCosts, AreThoseOfTheCheapestForm) {
  const KernelRow row = quadratic_row("rebased", {.a = 0, .b = 0, .c = 1}, {.B = 5, .T = 3, .H = 7, .Dk = 2, .Dv = 1});
  EXPECT_EQ(row.name, "rebased B5 H7 T3 d2 v1");
  EXPECT_DOUBLE_EQ(row.forward_operations, 5.0 * 3 * 7 * 18);
  EXPECT_DOUBLE_EQ(row.both_operations, 5.0 * 3 * 7 * (18 + 44));
  const KernelRow longer =
      quadratic_row("rebased", {.a = 0, .b = 0, .c = 1}, {.B = 1, .T = 999, .H = 1, .Dk = 2, .Dv = 1});
  EXPECT_DOUBLE_EQ(longer.forward_operations, 999.0 * 33);
}

}  // namespace
}  // namespace rebased
