#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "contract/broken_cores.h"

namespace rebased::testing {
namespace {

std::string broken(const OpPromise& promise, const OpRow& row) {
  std::string found;
  for (const std::vector<Shape>& shapes : row.sizes) found += promise.broken(row, shapes);
  return found;
}

class BrokenCores : public ::testing::TestWithParam<BrokenCore> {};

// A fault breaks the promise beside it. Others it may break or keep: a gradient is wrong where values are right.
TEST_P(BrokenCores, AreRejected) {
  const auto promise = std::find_if(op_promises().begin(), op_promises().end(), [](const OpPromise& candidate) {
    return candidate.name == std::string(GetParam().broken_promise);
  });
  ASSERT_NE(promise, op_promises().end());
  EXPECT_NE(broken(*promise, GetParam().row), "") << "the contract accepts " << GetParam().fault;
}

INSTANTIATE_TEST_SUITE_P(Faults, BrokenCores, ::testing::ValuesIn(broken_cores()),
                         [](const auto& test) { return std::string(test.param.fault); });

// What is rejected above is the fault, not the operation that carries it.
TEST(SoundCore, KeepsEveryPromise) {
  for (const OpPromise& promise : op_promises()) EXPECT_EQ(broken(promise, sound_core()), "") << promise.name;
}

TEST(BrokenCores, BreakEveryPromise) {
  std::set<std::string> promised;
  for (const BrokenCore& core : broken_cores()) promised.insert(core.broken_promise);
  for (const OpPromise& promise : op_promises()) EXPECT_TRUE(promised.contains(promise.name)) << promise.name;
}

}  // namespace
}  // namespace rebased::testing
