#include "updates/adamw/kernel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/kernel_buffers.h"

namespace rebased::kernels {
namespace {

template <class Real>
AdamWArgs<Real> unusual_options(int64_t step) {
  AdamWArgs<Real> a;
  a.step = step;
  a.lr = 0.01;
  a.beta1 = 0.8;
  a.beta2 = 0.95;
  a.eps = 1e-3;
  a.weight_decay = 0.1;
  a.grad_scale = 0.5;
  return a;
}

TEST(AdamW, FirstStepByHand) {
  // g = 0.5 * 4 = 2: m = 0.2 * 2, v = 0.05 * 4, both corrected to 2 and 4; p = 3 (1 - 0.001) - 0.01 * 2 / (2 + 1e-3).
  double param = 3, grad = 4, m = 0, v = 0;
  AdamWArgs<double> a = unusual_options<double>(1);
  a.n = 1;
  a.param = &param;
  a.grad = &grad;
  a.m = &m;
  a.v = &v;
  reference::adamw(a);
  EXPECT_NEAR(m, 0.4, 1e-15);
  EXPECT_NEAR(v, 0.2, 1e-15);
  EXPECT_NEAR(param, 3 * 0.999 - 0.02 / 2.001, 1e-14);
}

TEST(AdamW, TwentyStepsOfTheReferenceFollowTheClosedSums) {
  const AdamWArgs<double> options = unusual_options<double>(1);
  double param = 1, m = 0, v = 0, want = 1;
  std::vector<double> grads;
  for (int64_t step = 1; step <= 20; ++step) {
    double grad = std::sin(static_cast<double>(step));
    grads.push_back(0.5 * grad);
    AdamWArgs<double> a = unusual_options<double>(step);
    a.n = 1;
    a.param = &param;
    a.grad = &grad;
    a.m = &m;
    a.v = &v;
    reference::adamw(a);
    double mean = 0, square = 0, weight1 = 0, weight2 = 0;  // bias-corrected averages as ratios of weighted sums
    for (size_t i = 0; i < grads.size(); ++i) {
      const auto age = static_cast<double>(grads.size() - 1 - i);
      weight1 += std::pow(options.beta1, age);
      weight2 += std::pow(options.beta2, age);
      mean += std::pow(options.beta1, age) * grads[i];
      square += std::pow(options.beta2, age) * grads[i] * grads[i];
    }
    want *= 1 - options.lr * options.weight_decay;
    want -= options.lr * (mean / weight1) / (std::sqrt(square / weight2) + options.eps);
    EXPECT_NEAR(param, want, 1e-12);
  }
}

// Twenty steps of float kernel and reference side by side.
void expect_follows_the_reference(int64_t n) {
  Buffer<float> param = random_buffer(n, 1), m(n, 2, 0.0f), v(n, 3, 0.0f);
  std::vector<double> wide_param = param.doubles(), wide_m(static_cast<size_t>(n)), wide_v(static_cast<size_t>(n));
  for (int64_t step = 1; step <= 20; ++step) {
    const Buffer<float> grad = random_buffer(n, 100 + static_cast<uint64_t>(step));
    const std::vector<double> wide_grad = grad.doubles();
    AdamWArgs<float> a = unusual_options<float>(step);
    a.n = n;
    a.param = param.data();
    a.grad = grad.data();
    a.m = m.data();
    a.v = v.data();
    cpu::adamw(a);
    AdamWArgs<double> wide = unusual_options<double>(step);
    wide.n = n;
    wide.param = wide_param.data();
    wide.grad = wide_grad.data();
    wide.m = wide_m.data();
    wide.v = wide_v.data();
    reference::adamw(wide);
  }
  const double eps = 0x1p-24;  // each of 20 steps rounds every term a few times
  expect_near(m, wide_m, 0, 20 * 4 * eps, "m");
  expect_near(v, wide_v, 20 * 4 * eps, 0, "v");
  expect_near(param, wide_param, 20 * 3 * eps, 20 * 8 * eps * 0.1, "param");
}

TEST(AdamW, FollowsTheReferenceAtEveryCount) {
  for_each_target([] {
    for (int64_t n = 0; n <= 33; ++n) expect_follows_the_reference(n);
  });
}

TEST(AdamW, IsTheSameOnEveryThreadCount) {
  std::vector<std::vector<float>> results;
  for_each_thread_count([&] {
    const int64_t n = 50001;
    Buffer<float> param = random_buffer(n, 1), m = random_buffer(n, 2), v(n, 0, 0.5f);
    const Buffer<float> grad = random_buffer(n, 3);
    AdamWArgs<float> a = unusual_options<float>(7);
    a.n = n;
    a.param = param.data();
    a.grad = grad.data();
    a.m = m.data();
    a.v = v.data();
    cpu::adamw(a);
    results.push_back(param.values());
  });
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(AdamW, NanInTheGradientReachesTheParameter) {
  float param = 1, grad = std::numeric_limits<float>::quiet_NaN(), m = 0, v = 0;
  AdamWArgs<float> a = unusual_options<float>(1);
  a.n = 1;
  a.param = &param;
  a.grad = &grad;
  a.m = &m;
  a.v = &v;
  cpu::adamw(a);
  EXPECT_TRUE(std::isnan(param));
}

}  // namespace
}  // namespace rebased::kernels
