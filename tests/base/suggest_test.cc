#include "base/suggest.h"

#include <gtest/gtest.h>

#include <vector>

namespace rebased {
namespace {

TEST(Suggest, NamesTheNearestCandidate) {
  const std::vector<std::string> names = {"num_heads", "norm", "eps", "normalize"};
  EXPECT_EQ(did_you_mean("num_head", names), " (did you mean 'num_heads'?)");
  EXPECT_EQ(did_you_mean("nomr", names), " (did you mean 'norm'?)");  // a swap is one edit
  EXPECT_EQ(did_you_mean("normalise", names), " (did you mean 'normalize'?)");
  EXPECT_EQ(did_you_mean("esp", names), " (did you mean 'eps'?)");
}

TEST(Suggest, IsSilentWhenNothingIsNear) {
  const std::vector<std::string> names = {"num_heads", "eps", "q"};
  EXPECT_EQ(did_you_mean("dropout", names), "");
  EXPECT_EQ(did_you_mean("", names), "");
  EXPECT_EQ(did_you_mean("x", names), "");  // every letter replaced is no slip
  EXPECT_EQ(did_you_mean("eps", {}), "");
  EXPECT_EQ(did_you_mean(std::string(100000, 'e'), names), "");
}

}  // namespace
}  // namespace rebased
