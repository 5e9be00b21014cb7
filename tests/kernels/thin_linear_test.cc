#include "kernels/thin_linear.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/dense.h"
#include "kernels/kernel_buffers.h"

namespace rebased::kernels {
namespace {

constexpr double kEps = 0x1p-24;

struct Case {
  int64_t N, I, O;
  bool bias, dx;
};

std::vector<Case> cases() {
  std::vector<Case> all = {{1, 1, 1, true, true},
                           {63, 16, 48, false, true},
                           {64, 32, 192, true, true},
                           {200, 24, 32, true, false},
                           {131, 70, 16, false, true}};
  for (int64_t width = 1; width <= 33; width += 4) {
    all.push_back({65, width, 40 - width, width % 3 == 0, width % 5 != 0});
  }
  return all;
}

// A sum of n products of normal numbers, its partial sums below 4 sqrt(n) but for rare tails.
double sum_error(int64_t n) { return kEps * 8 * static_cast<double>(n + 4); }

void expect_forward(const Case& c) {
  const Buffer<float> x = random_buffer(c.N * c.I, 1), w = random_buffer(c.O * c.I, 2), bias = random_buffer(c.O, 3);
  std::vector<double> want(static_cast<size_t>(c.N * c.O));
  reference::linear(c.N, c.I, c.O, x.doubles().data(), w.doubles().data(), c.bias ? bias.doubles().data() : nullptr,
                    want.data());
  Buffer<float> y(c.N * c.O);
  ThinLinearArgs args{
      .N = c.N, .I = c.I, .O = c.O, .x = x.data(), .w = w.data(), .bias = c.bias ? bias.data() : nullptr};
  args.y = y.data();
  Buffer<float> scratch(cpu::thin_linear_scratch(args));
  args.scratch = scratch.data();
  cpu::thin_linear(args);
  expect_near(y, want, kEps, sum_error(c.I), "y");
}

void expect_gradient(const Case& c) {
  const Buffer<float> x = random_buffer(c.N * c.I, 1), w = random_buffer(c.O * c.I, 2),
                      dy = random_buffer(c.N * c.O, 4);
  std::vector<double> dx_want(static_cast<size_t>(c.N * c.I)), dw_want(static_cast<size_t>(c.O * c.I)),
      dbias_want(static_cast<size_t>(c.O));
  reference::linear_grad(c.N, c.I, c.O, x.doubles().data(), w.doubles().data(), dy.doubles().data(), dx_want.data(),
                         dw_want.data(), dbias_want.data());
  Buffer<float> dx(c.N * c.I), dw(c.O * c.I), dbias(c.O);
  LinearGradArgs args{.N = c.N, .I = c.I, .O = c.O, .x = x.data(), .w = w.data(), .dy = dy.data()};
  args.dx = c.dx ? dx.data() : nullptr;
  args.dw = dw.data();
  args.dbias = c.bias ? dbias.data() : nullptr;
  Buffer<float> scratch(cpu::thin_linear_grad_scratch(args));
  args.scratch = scratch.data();
  cpu::thin_linear_grad(args);
  expect_near(dw, dw_want, kEps, sum_error(c.N), "dw");
  if (c.dx) expect_near(dx, dx_want, kEps, sum_error(c.O), "dx");
  if (c.bias) expect_near(dbias, dbias_want, kEps, sum_error(c.N), "dbias");
}

TEST(ThinLinear, MatchesTheReferenceOnEveryTarget) {
  for_each_target([] {
    for (const Case& c : cases()) {
      SCOPED_TRACE(testing::Message() << "N " << c.N << " I " << c.I << " O " << c.O);
      expect_forward(c);
      expect_gradient(c);
    }
  });
}

TEST(ThinLinear, MatchesTheReferenceOnEveryThreadCount) {
  for_each_thread_count([] {
    for (const Case& c : cases()) {
      SCOPED_TRACE(testing::Message() << "N " << c.N << " I " << c.I << " O " << c.O);
      expect_forward(c);
      expect_gradient(c);
    }
  });
}

TEST(ThinLinear, ReferenceGradientMatchesFiniteDifferences) {
  const int64_t N = 3, I = 4, O = 2;
  std::vector<double> x = random_doubles(N * I, 1), w = random_doubles(O * I, 2), bias = random_doubles(O, 3);
  const std::vector<double> dy = random_doubles(N * O, 4);
  std::vector<double> dx(x.size()), dw(w.size()), dbias(bias.size());
  reference::linear_grad(N, I, O, x.data(), w.data(), dy.data(), dx.data(), dw.data(), dbias.data());
  auto loss = [&] {
    std::vector<double> y(dy.size());
    reference::linear(N, I, O, x.data(), w.data(), bias.data(), y.data());
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * dy[i];
    return sum;
  };
  auto expect_slopes = [&](std::vector<double>& values, const std::vector<double>& slopes, const char* what) {
    for (size_t i = 0; i < values.size(); ++i) {
      const double at = values[i];
      values[i] = at + 0.5;
      const double above = loss();
      values[i] = at - 0.5;
      EXPECT_NEAR(slopes[i], above - loss(), 1e-12) << what << " at " << i;  // linear in each: no error of the step
      values[i] = at;
    }
  };
  expect_slopes(x, dx, "dx");
  expect_slopes(w, dw, "dw");
  expect_slopes(bias, dbias, "dbias");
}

}  // namespace
}  // namespace rebased::kernels
