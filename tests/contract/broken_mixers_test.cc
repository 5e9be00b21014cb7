#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "contract/broken_mixers.h"

namespace rebased::testing {
namespace {

class BrokenMixers : public ::testing::TestWithParam<BrokenMixer> {};

TEST_P(BrokenMixers, AreRejected) {
  const auto promise = std::find_if(promises().begin(), promises().end(), [](const Promise& candidate) {
    return candidate.name == std::string(GetParam().broken_promise);
  });
  ASSERT_NE(promise, promises().end());
  EXPECT_FALSE(promise->check(GetParam().subject).empty()) << "the contract accepts " << GetParam().fault;
}

INSTANTIATE_TEST_SUITE_P(Faults, BrokenMixers, ::testing::ValuesIn(broken_mixers()),
                         [](const auto& test) { return std::string(test.param.fault); });

// What is rejected above is the fault, not the mixer that carries it.
TEST(SoundMixer, KeepsEveryPromise) {
  for (const Promise& promise : promises()) {
    const Violations violations = promise.check(sound_mixer());
    EXPECT_TRUE(violations.empty()) << promise.name << ":\n" << fmt::format("{}", fmt::join(violations, "\n"));
  }
}

TEST(BrokenMixers, BreakEveryPromise) {
  std::set<std::string> broken;
  for (const BrokenMixer& mixer : broken_mixers()) broken.insert(mixer.broken_promise);
  for (const Promise& promise : promises()) EXPECT_TRUE(broken.contains(promise.name)) << promise.name;
}

}  // namespace
}  // namespace rebased::testing
