#include "kernels/dense.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "cores/dropout/kernel.h"
#include "cores/norm/kernel.h"
#include "cores/packed_squares/kernel.h"
#include "cores/rope/kernel.h"
#include "cores/softmax/kernel.h"
#include "cores/taylor_features/kernel.h"
#include "kernels/kernel_buffers.h"

namespace rebased::kernels {
namespace {

constexpr double kEps = 0x1p-24;  // unit roundoff of float
constexpr int64_t kSweep = 33;    // every count up to two vectors of the widest target, and one more

TEST(DenseKernels, LinearMatchesTheReferenceForStreamedRowsAndBlas) {
  for_each_target([] {
    for (int64_t N : {1, 2, 3, 4, 5, 6, 7, 8, 9, 20, 31, 32, 35, 48, 63, 64, 65}) {
      for (int64_t I : {0, 1, 7, 16, 33, 100}) {
        for (int64_t O : {1, 3, 4, 9, 24, 34, 54}) {
          const Buffer<float> x = random_buffer(N * I, 1), w = random_buffer(O * I, 2), bias = random_buffer(O, 3);
          for (bool biased : {false, true}) {
            Buffer<float> y(N * O), scratch(cpu::linear_scratch(N, I));
            cpu::linear(N, I, O, x.data(), w.data(), biased ? bias.data() : nullptr, y.data(), scratch.data());
            std::vector<double> want(static_cast<size_t>(N * O));
            reference::linear(N, I, O, x.doubles().data(), w.doubles().data(), biased ? bias.doubles().data() : nullptr,
                              want.data());
            // A sum of I products of normal numbers, each partial sum below 4 sqrt(I) but for rare tails.
            expect_near(y, want, kEps, kEps * 4 * static_cast<double>(I + 4), "linear");
          }
        }
      }
    }
  });
}

TEST(DenseKernels, LinearIsTheSameOnEveryThreadCountWhenStreamed) {
  for (int64_t N : {2, 8, 33}) {
    const Buffer<float> x = random_buffer(N * 257, 1), w = random_buffer(4001 * 257, 2);
    std::vector<std::vector<float>> results;
    for_each_thread_count([&] {
      Buffer<float> y(N * 4001), scratch(cpu::linear_scratch(N, 257));
      cpu::linear(N, 257, 4001, x.data(), w.data(), nullptr, y.data(), scratch.data());
      results.push_back(y.values());
    });
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

TEST(DenseKernels, LayerNormOfALargeMeanKeepsTheDeviation) {
  Buffer<float> x(64, 0), y(64, 0);
  for (int64_t c = 0; c < 64; ++c) x[c] = 4096.0f + static_cast<float>(c % 2);
  cpu::layer_norm(1, 64, x.data(), nullptr, nullptr, 0, y.data());
  for (int64_t c = 0; c < 64; ++c) EXPECT_FLOAT_EQ(y[c], c % 2 ? 1.0f : -1.0f);
}

TEST(DenseKernels, NormsOfARowAreTheSameAloneAndAmongOthers) {
  for_each_target([] {
    for (int64_t C : {1, 16, 21, 64, 65, 200}) {
      const int64_t N = 7;
      const Buffer<float> x = random_buffer(N * C, 7), gain = random_buffer(C, 8);
      Buffer<float> all(N * C), alone(N * C);
      cpu::layer_norm(N, C, x.data(), gain.data(), nullptr, 1e-2, all.data());
      for (int64_t n = 0; n < N; ++n) {
        cpu::layer_norm(1, C, x.data() + n * C, gain.data(), nullptr, 1e-2, alone.data() + n * C);
      }
      EXPECT_EQ(all.values(), alone.values());
      cpu::rms_norm(N, C, x.data(), gain.data(), 1e-2, all.data());
      for (int64_t n = 0; n < N; ++n) cpu::rms_norm(1, C, x.data() + n * C, gain.data(), 1e-2, alone.data() + n * C);
      EXPECT_EQ(all.values(), alone.values());
    }
  });
}

TEST(DenseKernels, SoftmaxMatchesTheReferenceAndSurvivesLargeScores) {
  for_each_target([] {
    for (int64_t C = 1; C <= kSweep; ++C) {
      for (double scale : {1.0, 30.0}) {
        const Buffer<float> x = random_buffer(3 * C, 9, scale);
        std::vector<double> want(static_cast<size_t>(3 * C));
        reference::softmax(3, C, x.doubles().data(), want.data());
        Buffer<float> y = random_buffer(3 * C, 9, scale);
        cpu::softmax(3, C, y.data(), y.data());
        // The difference to the maximum, below 200, is rounded: that is a relative error of 200 eps after exp.
        expect_near(y, want, 200 * kEps, 1e-37, "softmax");
      }
    }
    std::array<float, 3> large{1e30f, -1e30f, 1e30f};
    cpu::softmax(1, 3, large.data(), large.data());
    EXPECT_EQ(large, (std::array<float, 3>{0.5f, 0.0f, 0.5f}));
  });
}

struct UnaryCase {
  Unary op;
  double relative;  // error of the kernel's formula, in units of kEps
  double absolute;
};

// kSilu, kSigmoid, kExp: the reduction and polynomial of exp round a few times. kGelu: the exponent, up to 50, is
// rounded once, which weighs 50 eps in the tail. kTanh, kElu: hwy's Expm1 and Tanh promise 4 to 5 ulp.
constexpr UnaryCase kUnaryCases[] = {{Unary::kSilu, 8, 1e-37}, {Unary::kGelu, 80, 1e-37},  {Unary::kRelu, 0, 0},
                                     {Unary::kElu, 10, 0},     {Unary::kExp, 6, 1e-37},    {Unary::kSquare, 1, 0},
                                     {Unary::kTanh, 10, 0},    {Unary::kSigmoid, 8, 1e-37}};

TEST(DenseKernels, UnaryMatchesTheReference) {
  for_each_target([] {
    for (const UnaryCase& c : kUnaryCases) {
      for (int64_t n = 0; n <= kSweep; ++n) {
        Buffer<float> y = random_buffer(n, 10 + static_cast<uint64_t>(n), 3);
        std::vector<double> want(static_cast<size_t>(n));
        reference::unary(c.op, n, y.doubles().data(), want.data());
        cpu::unary(c.op, n, y.data(), y.data());
        expect_near(y, want, c.relative * kEps, c.absolute, "unary " + std::to_string(static_cast<int>(c.op)));
      }
      Buffer<float> y(2001);
      for (int64_t i = 0; i < y.size(); ++i) y[i] = static_cast<float>(static_cast<double>(i - 1000) / 116.0);
      std::vector<double> want(2001);
      reference::unary(c.op, 2001, y.doubles().data(), want.data());
      cpu::unary(c.op, 2001, y.data(), y.data());
      expect_near(y, want, c.relative * kEps, c.absolute, "unary grid " + std::to_string(static_cast<int>(c.op)));
    }
  });
}

TEST(DenseKernels, UnaryHandlesTheEndsOfTheRange) {
  const float inf = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto value = [](Unary op, float x) {
    cpu::unary(op, 1, &x, &x);
    return x;
  };
  for_each_target([&] {
    for (const UnaryCase& c : kUnaryCases) EXPECT_TRUE(std::isnan(value(c.op, nan))) << static_cast<int>(c.op);
    for (Unary op : {Unary::kSilu, Unary::kGelu, Unary::kRelu, Unary::kElu}) {
      EXPECT_EQ(value(op, 1e4f), 1e4f);
      EXPECT_EQ(value(op, inf), inf);
    }
    EXPECT_EQ(value(Unary::kSigmoid, 1e4f), 1.0f);
    EXPECT_EQ(value(Unary::kSigmoid, -1e4f), 0.0f);
    EXPECT_EQ(value(Unary::kSilu, -1e4f), 0.0f);
    EXPECT_EQ(value(Unary::kGelu, -1e4f), 0.0f);
    EXPECT_EQ(value(Unary::kTanh, 1e4f), 1.0f);
    EXPECT_EQ(value(Unary::kTanh, -1e4f), -1.0f);
    EXPECT_EQ(value(Unary::kElu, -1e4f), -1.0f);
    EXPECT_EQ(value(Unary::kExp, 1e4f), inf);
    EXPECT_EQ(value(Unary::kExp, -1e4f), 0.0f);
    EXPECT_NEAR(value(Unary::kExp, 88.0f) / std::exp(88.0), 1.0, 8 * kEps);
  });
}

TEST(DenseKernels, ScaleShiftAndBinaryOperationsMatchTheReference) {
  for_each_target([] {
    for (int64_t C = 1; C <= kSweep; ++C) {
      const int64_t N = 3;
      Buffer<float> y = random_buffer(N * C, 20);
      std::vector<double> want(static_cast<size_t>(N * C));
      reference::scale_shift(N * C, y.doubles().data(), 0.75, -2, want.data());
      cpu::scale_shift(N * C, y.data(), 0.75, -2, y.data());
      expect_near(y, want, 2 * kEps, 2 * kEps, "scale_shift");
      for (Broadcast how : {Broadcast::kSame, Broadcast::kRow, Broadcast::kColumn}) {
        const int64_t size = how == Broadcast::kSame ? N * C : how == Broadcast::kRow ? C : N;
        const Buffer<float> a = random_buffer(N * C, 21), b = random_buffer(size, 22);
        Buffer<float> sum = random_buffer(N * C, 21), product = random_buffer(N * C, 21);
        reference::add(N, C, a.doubles().data(), b.doubles().data(), how, want.data());
        cpu::add(N, C, sum.data(), b.data(), how, sum.data());
        expect_near(sum, want, kEps, 0, "add");
        reference::mul(N, C, a.doubles().data(), b.doubles().data(), how, want.data());
        cpu::mul(N, C, product.data(), b.data(), how, product.data());
        expect_near(product, want, kEps, 0, "mul");
      }
    }
  });
}

TEST(DenseKernels, LargeArraysAreTheSameOnEveryThreadCount) {
  const int64_t n = 100003;
  const Buffer<float> x = random_buffer(n, 30);
  std::vector<std::vector<float>> results;
  for_each_thread_count([&] {
    Buffer<float> y(n), z(n), d(n), s(n);
    cpu::unary(Unary::kGelu, n, x.data(), y.data());
    cpu::add(n, 1, x.data(), y.data(), Broadcast::kSame, z.data());
    cpu::dropout(n, 5, 0.3, z.data(), d.data());
    cpu::softmax(n / 17, 17, d.data(), s.data());
    cpu::layer_norm(n / 17, 17, d.data(), nullptr, nullptr, 1e-5, z.data());
    std::vector<float> all = y.values();
    for (const Buffer<float>* b : {&z, &d}) all.insert(all.end(), b->data(), b->data() + n);
    all.insert(all.end(), s.data(), s.data() + n / 17 * 17);
    results.push_back(all);
  });
  EXPECT_EQ(results[0], results[1]);
  EXPECT_EQ(results[0], results[2]);
}

TEST(DenseKernels, EmbeddingCopiesRows) {
  const Buffer<float> table = random_buffer(5 * 7, 40);
  const std::vector<int64_t> ids{4, 0, 4, 2};
  Buffer<float> y(4 * 7);
  cpu::embedding(4, 7, ids.data(), table.data(), y.data());
  std::vector<double> want(4 * 7);
  reference::embedding(4, 7, ids.data(), table.doubles().data(), want.data());
  expect_near(y, want, 0, 0, "embedding");
  EXPECT_EQ(y[0], table.data()[4 * 7]);
}

// ---- rope

TEST(Rope, PositionZeroIsTheIdentityAndRotationsCompose) {
  const Buffer<float> x = random_buffer(10, 52);
  Buffer<float> zero(10), three(10), five(10), eight(10);
  const int64_t p0 = 0, p3 = 3, p5 = 5, p8 = 8;
  cpu::rope({1, 1, 1, 10, 8, 100, false, &p0, x.data(), zero.data()});
  EXPECT_EQ(zero.values(), x.values());
  cpu::rope({1, 1, 1, 10, 8, 100, false, &p3, x.data(), three.data()});
  cpu::rope({1, 1, 1, 10, 8, 100, false, &p5, three.data(), five.data()});
  cpu::rope({1, 1, 1, 10, 8, 100, false, &p8, x.data(), eight.data()});
  expect_near(five, eight.doubles(), 0, 32 * kEps, "3 + 5 = 8");
  EXPECT_NE(eight.values(), x.values());
  for (int64_t i = 8; i < 10; ++i) EXPECT_EQ(eight[i], x.data()[i]);
}

TEST(Rope, RotatesTheHalfSplitPairByHand) {
  const float x[] = {1, 10, 2, 20};  // pairs (1, 2) and (10, 20)
  float y[4];
  const int64_t position = 2;
  cpu::rope({1, 1, 1, 4, 4, 100, false, &position, x, y});                // angles 2 and 0.2
  EXPECT_NEAR(y[0], std::cos(2.0) - 2 * std::sin(2.0), 64 * kEps);        // terms up to 20
  EXPECT_NEAR(y[2], std::sin(2.0) + 2 * std::cos(2.0), 64 * kEps);        // terms up to 20
  EXPECT_NEAR(y[1], 10 * std::cos(0.2) - 20 * std::sin(0.2), 64 * kEps);  // terms up to 20
  EXPECT_NEAR(y[3], 10 * std::sin(0.2) + 20 * std::cos(0.2), 64 * kEps);  // terms up to 20
}

// ---- feature maps

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

TEST(Features, InnerProductsAreTheKernels) {
  const int64_t D = 6;
  const std::vector<double> q = random_doubles(D, 61), k = random_doubles(D, 62);
  const double s = dot(q, k) / std::sqrt(6.0);
  for (bool packed : {false, true}) {
    std::vector<double> phi_q(packed ? 28 : 43), phi_k(phi_q.size());
    reference::taylor_features(1, D, packed, q.data(), phi_q.data());
    reference::taylor_features(1, D, packed, k.data(), phi_k.data());
    EXPECT_NEAR(dot(phi_q, phi_k), 1 + s + s * s / 2, 1e-12);
  }
  std::vector<double> phi_q(21), phi_k(21);
  reference::packed_squares(1, D, q.data(), phi_q.data());
  reference::packed_squares(1, D, k.data(), phi_k.data());
  EXPECT_NEAR(dot(phi_q, phi_k), dot(q, k) * dot(q, k), 1e-12);
}

// ---- dropout

std::vector<float> kept(int64_t n, uint64_t key, double p) {
  const std::vector<float> ones(static_cast<size_t>(n), 1.0f);
  std::vector<float> y(ones.size());
  cpu::dropout(n, key, p, ones.data(), y.data());
  return y;
}

TEST(Dropout, KeepsTheStatedFraction) {
  const int64_t n = 1 << 20;
  for (double p : {0.1, 0.5, 0.9}) {
    for (uint64_t key : {0ULL, 1ULL, 2ULL, 1ULL << 32, ~0ULL}) {
      double count = 0;
      for (float v : kept(n, key, p)) count += v != 0 ? 1 : 0;
      const double deviation = std::sqrt(p * (1 - p) * static_cast<double>(n));
      EXPECT_NEAR(count, (1 - p) * static_cast<double>(n), 5 * deviation) << p << " " << key;
    }
  }
}

// Correlation of two kept/dropped sequences in units of its standard deviation.
double z_score(const std::vector<float>& a, const std::vector<float>& b, size_t lag) {
  double both = 0;
  const size_t n = a.size() - lag;
  for (size_t i = 0; i < n; ++i) both += (a[i] != 0) == (b[i + lag] != 0) ? 1 : -1;
  return both / std::sqrt(static_cast<double>(n));
}

TEST(Dropout, NeighbouringKeysAndElementsAreIndependent) {
  const int64_t n = 1 << 18;
  std::vector<std::vector<float>> streams;
  for (uint64_t key : {0ULL, 1ULL, 2ULL, 3ULL, 1ULL << 32, (1ULL << 32) + 1}) streams.push_back(kept(n, key, 0.5));
  for (size_t i = 0; i < streams.size(); ++i) {
    for (size_t lag : {1, 2, 3, 16, 64, 1024}) EXPECT_LT(std::abs(z_score(streams[i], streams[i], lag)), 5) << lag;
    for (size_t j = 0; j < i; ++j) {
      for (size_t lag : {0, 1, 16}) EXPECT_LT(std::abs(z_score(streams[i], streams[j], lag)), 5) << i << j << lag;
    }
  }
}

TEST(Dropout, RunsOfDroppedElementsAreGeometric) {
  const std::vector<float> y = kept(1 << 20, 9, 0.5);
  std::array<double, 8> runs{};  // lengths 1..7, longer
  double total = 0;
  for (size_t i = 0; i < y.size();) {
    size_t length = 1;
    while (i + length < y.size() && (y[i + length] != 0) == (y[i] != 0)) ++length;
    runs[std::min<size_t>(length, 8) - 1] += 1;
    total += 1;
    i += length;
  }
  double chi_square = 0;
  for (size_t k = 0; k < 8; ++k) {
    const double want = total * std::pow(0.5, static_cast<double>(std::min<size_t>(k + 1, 7)));
    chi_square += (runs[k] - want) * (runs[k] - want) / want;
  }
  EXPECT_LT(chi_square, 35);  // 7 degrees of freedom: exceeded by chance once in 1e5
}

}  // namespace
}  // namespace rebased::kernels
