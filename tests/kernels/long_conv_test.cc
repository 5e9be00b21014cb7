#include "cores/long_conv/kernel.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "kernels/kernel_buffers.h"

namespace rebased::kernels {
namespace {

constexpr double kEps = 0x1p-24;

struct Case {
  int64_t B, T, C, L;
};
constexpr Case kCases[] = {{1, 1, 1, 1}, {2, 7, 5, 9}, {3, 8, 16, 8}, {1, 9, 17, 12}, {2, 33, 33, 40}, {1, 70, 3, 70}};

template <class Real>
LongConvArgs<Real> sized(const Case& c) {
  return {.B = c.B, .T = c.T, .C = c.C, .L = c.L};
}

// Sums of up to B T products of normal numbers.
double bound(const Case& c) { return 10 * kEps * static_cast<double>(c.B * c.T + 4); }

void expect_case(const Case& c) {
  SCOPED_TRACE(testing::Message() << c.B << " " << c.T << " " << c.C << " " << c.L);
  const Buffer<float> x = random_buffer(c.B * c.T * c.C, 1), filter = random_buffer(c.C * c.L, 2),
                      dy = random_buffer(c.B * c.T * c.C, 3);
  Buffer<float> y(x.size()), dx(x.size()), d_filter(filter.size());
  const std::vector<double> x64 = x.doubles(), filter64 = filter.doubles(), dy64 = dy.doubles();
  std::vector<double> y_want(x64.size()), dx_want(x64.size()), d_filter_want(filter64.size());
  LongConvGradArgs<double> want;
  want.forward = sized<double>(c);
  want.forward.x = x64.data(), want.forward.filter = filter64.data(), want.forward.y = y_want.data();
  want.dy = dy64.data(), want.dx = dx_want.data(), want.d_filter = d_filter_want.data();
  reference::long_conv(want.forward);
  reference::long_conv_grad(want);
  LongConvGradArgs<float> got;
  got.forward = sized<float>(c);
  got.forward.x = x.data(), got.forward.filter = filter.data(), got.forward.y = y.data();
  Buffer<float> scratch(cpu::long_conv_scratch(got.forward)), grad_scratch(cpu::long_conv_grad_scratch(got));
  got.forward.scratch = scratch.data();
  cpu::long_conv(got.forward);
  got.dy = dy.data(), got.dx = dx.data(), got.d_filter = d_filter.data(), got.scratch = grad_scratch.data();
  cpu::long_conv_grad(got);
  expect_near(y, y_want, 8 * kEps, bound(c), "y");
  expect_near(dx, dx_want, 8 * kEps, bound(c), "dx");
  expect_near(d_filter, d_filter_want, 8 * kEps, bound(c), "d_filter");
}

TEST(LongConv, MatchesTheReferenceOnEveryTarget) {
  for_each_target([] {
    for (const Case& c : kCases) expect_case(c);
  });
}

TEST(LongConv, MatchesTheReferenceOnEveryThreadCount) {
  for_each_thread_count([] {
    for (const Case& c : kCases) expect_case(c);
  });
}

TEST(LongConv, ReferenceMatchesFiniteDifferences) {
  const Case c{2, 5, 3, 6};
  std::vector<double> x = random_doubles(30, 1), filter = random_doubles(18, 2), y(30), dx(30), d_filter(18);
  const std::vector<double> dy = random_doubles(30, 3);
  LongConvGradArgs<double> args;
  args.forward = sized<double>(c);
  args.forward.x = x.data(), args.forward.filter = filter.data(), args.forward.y = y.data();
  args.dy = dy.data(), args.dx = dx.data(), args.d_filter = d_filter.data();
  reference::long_conv_grad(args);
  auto loss = [&] {
    reference::long_conv(args.forward);
    return std::inner_product(y.begin(), y.end(), dy.begin(), 0.0);
  };
  for (const auto& [values, slopes] : {std::pair(&x, &dx), {&filter, &d_filter}}) {
    for (size_t i = 0; i < values->size(); ++i) {
      const double at = (*values)[i];
      (*values)[i] = at + 1e-5;
      const double above = loss();
      (*values)[i] = at - 1e-5;
      const double below = loss();
      (*values)[i] = at;
      EXPECT_NEAR((*slopes)[i], (above - below) / 2e-5, 1e-8) << i;
    }
  }
}

}  // namespace
}  // namespace rebased::kernels
