#include "cores/short_conv/kernel.h"

#include <gtest/gtest.h>

#include <vector>

namespace rebased::kernels {
namespace {

TEST(ShortConv, FreshStateIsFilledWithZerosBeforeTheFirstToken) {
  const std::vector<float> x{1, 2, 3, 4, 5, 6}, w(15, 1.0f);
  std::vector<float> y(6), stateT(12);
  cpu::short_conv(
      {.B = 1, .T = 2, .C = 3, .K = 5, .x = x.data(), .w = w.data(), .y = y.data(), .stateT = stateT.data()});
  EXPECT_EQ(stateT, (std::vector<float>{0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6}));
}

TEST(ShortConv, ReferenceByHand) {
  const std::vector<double> x{1, 2, 3}, w{10, 1}, state{5};
  std::vector<double> y(3), stateT(1);
  reference::short_conv({.B = 1,
                         .T = 3,
                         .C = 1,
                         .K = 2,
                         .x = x.data(),
                         .w = w.data(),
                         .state0 = state.data(),
                         .y = y.data(),
                         .stateT = stateT.data()});
  EXPECT_EQ(y, (std::vector<double>{51, 12, 23}));
  EXPECT_EQ(stateT, (std::vector<double>{3}));
}

}  // namespace
}  // namespace rebased::kernels
