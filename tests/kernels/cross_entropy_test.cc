#include "kernels/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/kernel_buffers.h"

namespace rebased::kernels {
namespace {

struct Case {
  int64_t N, C, V;
  double scale;  // of x: the size of the logits
};

std::vector<int64_t> random_labels(int64_t N, int64_t V, uint64_t key) {
  std::vector<int64_t> labels(static_cast<size_t>(N));
  Rng rng(key);
  for (int64_t& label : labels) label = static_cast<int64_t>(rng.below(static_cast<uint64_t>(V)));
  return labels;
}

// Output arrays of one run, in float (cpu) or double (reference).
template <class Array>
struct Output {
  Array nll, d_x, d_e;
  std::vector<int64_t> best;
};

struct Problem {
  explicit Problem(const Case& c)
      : size(c),
        x(random_buffer(c.N * c.C, 1, c.scale)),
        e(random_buffer(c.V * c.C, 2)),
        labels(random_labels(c.N, c.V, 3)) {}

  template <class Real>
  CrossEntropyArgs<Real> args() const {
    CrossEntropyArgs<Real> a;
    a.N = size.N;
    a.C = size.C;
    a.V = size.V;
    a.labels = labels.data();
    a.grad_scale = 0.75;
    return a;
  }

  Output<Buffer<float>> run(bool gradients) const {
    Output<Buffer<float>> out{Buffer<float>(size.N), Buffer<float>(size.N * size.C), Buffer<float>(size.V * size.C),
                              std::vector<int64_t>(static_cast<size_t>(size.N), -1)};
    CrossEntropyArgs<float> a = args<float>();
    a.x = x.data();
    a.e = e.data();
    a.nll = out.nll.data();
    a.best = out.best.data();
    a.d_x = gradients ? out.d_x.data() : nullptr;
    a.d_e = gradients ? out.d_e.data() : nullptr;
    Buffer<float> scratch(cpu::cross_entropy_scratch(a));
    a.scratch = scratch.data();
    cpu::cross_entropy(a);
    return out;
  }

  Output<std::vector<double>> oracle() const {
    const std::vector<double> xs = x.doubles(), es = e.doubles();
    const auto N = static_cast<size_t>(size.N);
    Output<std::vector<double>> out{std::vector<double>(N), std::vector<double>(xs.size()),
                                    std::vector<double>(es.size()), std::vector<int64_t>(N)};
    CrossEntropyArgs<double> a = args<double>();
    a.x = xs.data();
    a.e = es.data();
    a.nll = out.nll.data();
    a.best = out.best.data();
    a.d_x = out.d_x.data();
    a.d_e = out.d_e.data();
    reference::cross_entropy(a);
    return out;
  }

  Case size;
  Buffer<float> x, e;
  std::vector<int64_t> labels;
};

// A logit is a sum of C products: error about eps sqrt(C) |logit|-ish, bounded here by eps C scale; it is a relative
// error of every probability. Gradients sum V (d_x) or N (d_e) of them times entries below 5.
double logit_error(const Case& c) { return 0x1p-24 * (16 + 8 * static_cast<double>(c.C) * c.scale); }

void expect_matches(const Output<Buffer<float>>& got, const Output<std::vector<double>>& want, const Case& c,
                    bool gradients) {
  const double error = logit_error(c);
  expect_near(got.nll, want.nll, 4 * 0x1p-24, 2 * error, "nll");
  EXPECT_EQ(got.best, want.best);
  if (!gradients) return;
  expect_near(got.d_x, want.d_x, 0, 8 * error, "d_x");
  expect_near(got.d_e, want.d_e, 0, 8 * error * c.scale * std::sqrt(static_cast<double>(c.N)), "d_e");
}

TEST(CrossEntropy, MatchesTheReferenceAtOddSizes) {
  for (int64_t C : {1, 2, 7, 15, 16, 17, 31, 32, 33, 100, 200}) {
    for (int64_t V : {1, 2, 31, 128, 130, 300}) {
      const Case c{7, C, V, 0.7};
      const Problem problem(c);
      const auto want = problem.oracle();
      SCOPED_TRACE(testing::Message() << "C " << C << " V " << V);
      for_each_target([&] {
        for (bool gradients : {false, true}) expect_matches(problem.run(gradients), want, c, gradients);
      });
    }
  }
}

TEST(CrossEntropy, MatchesTheReferenceOverRowBlocksAndThreads) {
  for (int64_t C : {20, 250}) {
    for (int64_t N : {1, 31, 32, 33, 64, 100, 137}) {
      const Case c{N, C, 150, 0.3};
      const Problem problem(c);
      const auto want = problem.oracle();
      for_each_thread_count([&] {
        const auto got = problem.run(true);
        expect_matches(got, want, c, true);
        const auto again = problem.run(true);
        EXPECT_EQ(got.nll.values(), again.nll.values());
        EXPECT_EQ(got.d_x.values(), again.d_x.values());
        EXPECT_EQ(got.d_e.values(), again.d_e.values());
      });
    }
  }
}

TEST(CrossEntropy, ManyRowsOfAWideHeadTakeSeveralBlocks) {
  const Case c{1100, 200, 3, 0.1};  // blocks of at most 1024 rows
  const Problem problem(c);
  expect_matches(problem.run(true), problem.oracle(), c, true);
}

TEST(CrossEntropy, BestIsOptional) {
  for (int64_t C : {8, 300}) {
    const Problem p({5, C, 40, 0.2});
    Buffer<float> nll(5);
    CrossEntropyArgs<float> a = p.args<float>();
    a.x = p.x.data();
    a.e = p.e.data();
    a.nll = nll.data();
    Buffer<float> scratch(cpu::cross_entropy_scratch(a));
    a.scratch = scratch.data();
    cpu::cross_entropy(a);
    EXPECT_EQ(nll.values(), p.run(false).nll.values());
  }
}

TEST(CrossEntropy, TiesTakeTheLowestIndex) {
  for_each_target([] {
    for (int64_t C : {4, 256}) {
      Problem problem({3, C, 300, 1});
      std::fill_n(problem.x.data(), 3 * C, 1.0f);
      std::fill_n(problem.e.data(), 300 * C, 0.0f);
      EXPECT_EQ(problem.run(false).best, (std::vector<int64_t>{0, 0, 0}));
      for (int64_t v : {140, 170, 299}) problem.e[v * C] = 2;  // equal, two of them in one tile
      EXPECT_EQ(problem.run(false).best, (std::vector<int64_t>{140, 140, 140}));
      problem.e[299 * C] = 3;
      EXPECT_EQ(problem.run(true).best, (std::vector<int64_t>{299, 299, 299}));
    }
  });
}

TEST(CrossEntropy, LargeLogitsDoNotOverflow) {
  for_each_target([] {
    for (int64_t C : {1, 256}) {
      Problem problem({2, C, 400, 0});
      std::fill_n(problem.e.data(), 400 * C, 0.0f);
      for (int64_t v = 0; v < 400; ++v) problem.e[v * C] = v < 200 ? -1e4f : 1e4f;
      problem.x[0] = 1;
      problem.x[C] = -1;
      problem.labels = {5, 5};  // logit -1e4 where the largest is 1e4, then the other way round
      const auto got = problem.run(true);
      EXPECT_FLOAT_EQ(got.nll.data()[0], static_cast<float>(2e4 + std::log(200.0)));
      EXPECT_NEAR(got.nll.data()[1], std::log(200.0), 2e-3);  // one ulp of 1e4
      for (float d : got.d_x.values()) EXPECT_TRUE(std::isfinite(d));
      EXPECT_NEAR(got.d_e.data()[5 * C], 0.75 * (-1 * 1 + (1 - 1.0 / 200)), 1e-5);
    }
  });
}

// By less than what a sum's scale lets pass from one tile to the next, by more, and back.
TEST(CrossEntropy, LogitsThatRiseAndFallMatchTheReference) {
  for_each_target([] {
    for (double slope : {0.03, 0.2, -0.2}) {
      for (int64_t V : {300, 480, 509}) {
        Problem problem({50, 4, V, 1});
        for (int64_t v = 0; v < V; ++v) problem.e[v * 4] = static_cast<float>(slope * static_cast<double>(v));
        for (int64_t n = 0; n < 50; ++n) problem.x[n * 4] = n % 3 == 0 ? -1.0f : 1.0f;
        SCOPED_TRACE(slope);
        expect_matches(problem.run(true), problem.oracle(), {50, 4, V, 10}, true);
      }
    }
  });
}

// Subnormal numbers take a hundred times as long to multiply; a probability that small is none.
TEST(CrossEntropy, GradientsOfUnlikelyIdsAreNormalNumbersOrZero) {
  for_each_target([] {
    for (int64_t C : {1, 256}) {
      Problem problem({1, C, 400, 0});
      std::fill_n(problem.e.data(), 400 * C, 0.0f);
      for (int64_t v = 0; v < 400; ++v) problem.e[v * C] = -0.25f * static_cast<float>(v);  // logits down to -100
      problem.x[0] = 1;
      problem.labels = {0};
      for (float d : problem.run(true).d_e.values()) EXPECT_NE(std::fpclassify(d), FP_SUBNORMAL) << d;
    }
  });
}

TEST(CrossEntropy, NanReachesTheLoss) {
  for (int64_t C : {8, 256}) {
    Problem problem({2, C, 300, 0.5});
    problem.x[0] = std::numeric_limits<float>::quiet_NaN();
    const auto got = problem.run(true);
    EXPECT_TRUE(std::isnan(got.nll.data()[0]));
    EXPECT_TRUE(std::isfinite(got.nll.data()[1]));
  }
}

TEST(CrossEntropy, NoRowsGiveZeroWeightGradients) {
  for (int64_t C : {8, 256}) {
    const Problem problem({0, C, 30, 1});
    for (float d : problem.run(true).d_e.values()) EXPECT_EQ(d, 0.0f);
  }
}

TEST(CrossEntropy, ReferenceByHand) {
  const std::vector<double> x{1, 2}, e{0, 0, 1, 0, 0, 1};  // logits 0, 1, 2
  const std::vector<int64_t> labels{1};
  double nll = 0;
  CrossEntropyArgs<double> a{1, 2, 3, x.data(), e.data(), labels.data(), &nll};
  reference::cross_entropy(a);
  EXPECT_NEAR(nll, std::log(1 + std::exp(1.0) + std::exp(2.0)) - 1, 1e-14);
}

double total_loss(const Problem& problem, const std::vector<double>& x, const std::vector<double>& e) {
  std::vector<double> nll(static_cast<size_t>(problem.size.N));
  CrossEntropyArgs<double> a = problem.args<double>();
  a.x = x.data();
  a.e = e.data();
  a.nll = nll.data();
  reference::cross_entropy(a);
  double sum = 0;
  for (double value : nll) sum += a.grad_scale * value;
  return sum;
}

TEST(CrossEntropy, ReferenceGradientsMatchFiniteDifferences) {
  const Problem problem({4, 3, 6, 1});
  const auto want = problem.oracle();
  const double h = 1e-5;  // truncation h^2, rounding 1e-16 / h: both near 1e-10
  std::vector<double> x = problem.x.doubles(), e = problem.e.doubles();
  for (auto [values, gradient] : {std::pair(&x, &want.d_x), std::pair(&e, &want.d_e)}) {
    for (size_t i = 0; i < values->size(); ++i) {
      const double at = (*values)[i];
      (*values)[i] = at + h;
      const double up = total_loss(problem, x, e);
      (*values)[i] = at - h;
      const double down = total_loss(problem, x, e);
      (*values)[i] = at;
      EXPECT_NEAR((up - down) / (2 * h), (*gradient)[i], 1e-8);
    }
  }
}

}  // namespace
}  // namespace rebased::kernels
