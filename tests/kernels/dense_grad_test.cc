#include "kernels/dense_grad.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <tuple>
#include <vector>

#include "cores/norm/kernel.h"
#include "cores/packed_squares/kernel.h"
#include "cores/softmax/kernel.h"
#include "cores/swiglu/kernel.h"
#include "cores/taylor_features/kernel.h"
#include "kernels/dense.h"
#include "kernels/kernel_buffers.h"

namespace rebased::kernels {
namespace {

constexpr double kEps = 0x1p-24;

struct Case {
  int64_t N, C;
  bool layer;  // layer_norm; otherwise rms_norm
  bool gain, d_gain, d_shift;
  bool other = false;  // x is used beside its norm
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (int64_t C = 1; C <= 35; ++C) all.push_back({7, C, C % 2 == 0, C % 3 != 0, C % 5 != 0, C % 7 != 0, C % 4 < 2});
  for (bool layer : {false, true}) {
    all.push_back({200, 48, layer, true, true, layer, true});  // several blocks of rows, several threads
    all.push_back({1000, 33, layer, false, true, layer});
    all.push_back({7, 200, layer, true, true, layer});
  }
  return all;
}

template <class Real>
NormGradArgs<Real> sized(const Case& c) {
  NormGradArgs<Real> args;
  args.N = c.N, args.C = c.C, args.eps = 0.5;
  return args;
}

struct Doubles {
  explicit Doubles(const Case& c)
      : dx(static_cast<size_t>(c.N * c.C)), d_gain(static_cast<size_t>(c.C)), d_shift(static_cast<size_t>(c.C)) {}
  std::vector<double> dx, d_gain, d_shift;
};

Doubles oracle(const Case& c, const std::vector<double>& x, const std::vector<double>& gain,
               const std::vector<double>& dy, const std::vector<double>& other) {
  Doubles out(c);
  NormGradArgs<double> args = sized<double>(c);
  args.x = x.data(), args.gain = c.gain ? gain.data() : nullptr, args.dy = dy.data();
  args.other = c.other ? other.data() : nullptr;
  args.dx = out.dx.data();
  args.d_gain = c.d_gain ? out.d_gain.data() : nullptr;
  args.d_shift = c.layer && c.d_shift ? out.d_shift.data() : nullptr;
  c.layer ? reference::layer_norm_grad(args) : reference::rms_norm_grad(args);
  return out;
}

void expect_case(const Case& c) {
  SCOPED_TRACE(testing::Message() << "N " << c.N << " C " << c.C << " layer " << c.layer);
  const Buffer<float> x = random_buffer(c.N * c.C, 1), gain = random_buffer(c.C, 2);
  Buffer<float> slopes = random_buffer(c.N * c.C, 3), other = random_buffer(c.N * c.C, 4), d_gain(c.C), d_shift(c.C);
  const Doubles want = oracle(c, x.doubles(), gain.doubles(), slopes.doubles(), other.doubles());
  NormGradArgs<float> args = sized<float>(c);
  args.x = x.data(), args.gain = c.gain ? gain.data() : nullptr;
  Buffer<float>& dx = c.other ? other : slopes;
  args.dy = slopes.data(), args.other = c.other ? other.data() : nullptr, args.dx = dx.data();
  args.d_gain = c.d_gain ? d_gain.data() : nullptr;
  args.d_shift = c.layer && c.d_shift ? d_shift.data() : nullptr;
  Buffer<float> scratch(cpu::norm_grad_scratch(args));
  args.scratch = scratch.data();
  c.layer ? cpu::layer_norm_grad(args) : cpu::rms_norm_grad(args);
  // eps keeps the deviation above 0.7; sums of C or N products of normal numbers, taken in blocks of 64.
  expect_near(dx, want.dx, 16 * kEps, 400 * kEps, "dx");
  const double over_rows = 40 * kEps * static_cast<double>(64 + c.N / 64);
  if (args.d_gain) expect_near(d_gain, want.d_gain, 16 * kEps, over_rows, "d_gain");
  if (args.d_shift) expect_near(d_shift, want.d_shift, 16 * kEps, over_rows, "d_shift");
}

TEST(NormGrad, MatchesTheReferenceInPlace) {
  for_each_target([] {
    for (const Case& c : cases()) expect_case(c);
  });
}

TEST(NormGrad, MatchesTheReferenceOnEveryThreadCount) {
  for_each_thread_count([] {
    for (const Case& c : cases()) expect_case(c);
  });
}

// <dy, y> for the norm y of x, and <other, x> beside it.
double weighted_output(const Case& c, const std::vector<double>& x, const std::vector<double>& gain,
                       const std::vector<double>& shift, const std::vector<double>& dy,
                       const std::vector<double>& other) {
  std::vector<double> y(x.size());
  if (c.layer) {
    reference::layer_norm(c.N, c.C, x.data(), gain.data(), shift.data(), 0.5, y.data());
  } else {
    reference::rms_norm(c.N, c.C, x.data(), gain.data(), 0.5, y.data());
  }
  double sum = 0;
  for (size_t i = 0; i < y.size(); ++i) sum += y[i] * dy[i] + (c.other ? x[i] * other[i] : 0);
  return sum;
}

void expect_slopes(std::vector<double>& values, const std::vector<double>& slopes, const char* what,
                   const std::function<double()>& f) {
  constexpr double kStep = 1e-5;
  for (size_t i = 0; i < values.size(); ++i) {
    const double at = values[i];
    values[i] = at + kStep;
    const double above = f();
    values[i] = at - kStep;
    const double below = f();
    values[i] = at;
    EXPECT_NEAR(slopes[i], (above - below) / (2 * kStep), 1e-7) << what << " at " << i;
  }
}

TEST(NormGrad, ReferenceMatchesFiniteDifferences) {
  for (const auto& [layer, beside] : {std::pair{false, true}, {true, false}, {true, true}}) {
    const Case c{3, 7, layer, true, true, layer, beside};
    std::vector<double> x = random_doubles(21, 1), gain = random_doubles(7, 2), shift = random_doubles(7, 3);
    const std::vector<double> dy = random_doubles(21, 4), other = random_doubles(21, 5);
    const Doubles got = oracle(c, x, gain, dy, other);
    const auto f = [&] { return weighted_output(c, x, gain, shift, dy, other); };
    expect_slopes(x, got.dx, "dx", f);
    expect_slopes(gain, got.d_gain, "d_gain", f);
    if (layer) expect_slopes(shift, got.d_shift, "d_shift", f);
  }
}

TEST(NormGrad, NanStaysInItsRow) {
  const Case c{6, 5, true, false, false, false};
  Buffer<float> x = random_buffer(30, 1), slopes = random_buffer(30, 2);
  x[7] = std::numeric_limits<float>::quiet_NaN();
  NormGradArgs<float> args = sized<float>(c);
  args.x = x.data(), args.dy = args.dx = slopes.data();
  Buffer<float> scratch(cpu::norm_grad_scratch(args));
  args.scratch = scratch.data();
  cpu::layer_norm_grad(args);
  for (int64_t i = 0; i < 30; ++i) EXPECT_EQ(std::isnan(slopes[i]), i / 5 == 1) << i;
}

TEST(SwigluGrad, MatchesTheReferenceInPlace) {
  for_each_target([] {
    for (int64_t C = 1; C <= 35; ++C) {
      for (double scale : {1.0, 8.0}) {
        Buffer<float> x = random_buffer(6 * C, 1, scale);
        const Buffer<float> dy = random_buffer(3 * C, 2);
        std::vector<double> y_want(static_cast<size_t>(3 * C)), dx_want(static_cast<size_t>(6 * C));
        reference::swiglu(3, C, x.doubles().data(), y_want.data());
        reference::swiglu_grad(3, C, x.doubles().data(), dy.doubles().data(), dx_want.data());
        Buffer<float> y(3 * C);
        cpu::swiglu(3, C, x.data(), y.data());
        cpu::swiglu_grad(3, C, x.data(), dy.data(), x.data());
        expect_near(y, y_want, 16 * kEps, 1e-37, "swiglu");
        // 1 + gate (1 - sigmoid) may cancel to nothing: its error is that of its terms, below 2, times dy and up.
        expect_near(x, dx_want, 16 * kEps, 200 * scale * kEps, "dx");
      }
    }
  });
}

TEST(SwigluGrad, ReferenceMatchesFiniteDifferences) {
  std::vector<double> x = random_doubles(2 * 6, 1, 2), slopes(x.size());
  const std::vector<double> dy = random_doubles(6, 2);
  reference::swiglu_grad(2, 3, x.data(), dy.data(), slopes.data());
  expect_slopes(x, slopes, "dx", [&] {
    std::vector<double> y(6);
    reference::swiglu(2, 3, x.data(), y.data());
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * dy[i];
    return sum;
  });
}

TEST(SwigluGrad, LargeGatesStayFinite) {
  std::vector<float> x{2, 3, 100, -100}, dx(4), y(2);
  const std::vector<float> dy{1, 1};
  cpu::swiglu(1, 2, x.data(), y.data());
  cpu::swiglu_grad(1, 2, x.data(), dy.data(), dx.data());
  EXPECT_EQ(y, (std::vector<float>{200, 0}));
  EXPECT_EQ(dx, (std::vector<float>{100, 0, 2, 0}));
}

constexpr Unary kUnaries[] = {Unary::kSilu, Unary::kGelu,   Unary::kRelu, Unary::kElu,
                              Unary::kExp,  Unary::kSquare, Unary::kTanh, Unary::kSigmoid};

TEST(UnaryGrad, MatchesTheReferenceInPlace) {
  for_each_target([] {
    for (Unary op : kUnaries) {
      for (int64_t n : {1, 15, 16, 17, 100}) {
        const Buffer<float> x = random_buffer(n, 1, 3);
        Buffer<float> dy = random_buffer(n, 2);
        std::vector<double> want(static_cast<size_t>(n));
        reference::unary_grad(op, n, x.doubles().data(), dy.doubles().data(), want.data());
        cpu::unary_grad(op, n, x.data(), dy.data(), dy.data());
        // Slopes of at most e^9; those near zero are differences of terms below 2.
        expect_near(dy, want, 40 * kEps, 100 * kEps, "unary " + std::to_string(static_cast<int>(op)));
      }
    }
  });
}

TEST(UnaryGrad, ReferenceMatchesFiniteDifferences) {
  for (Unary op : kUnaries) {
    std::vector<double> x = random_doubles(9, 3), slopes(x.size());
    const std::vector<double> dy = random_doubles(9, 4);
    reference::unary_grad(op, 9, x.data(), dy.data(), slopes.data());
    expect_slopes(x, slopes, "dx", [&] {
      std::vector<double> y(x.size());
      reference::unary(op, 9, x.data(), y.data());
      return std::inner_product(y.begin(), y.end(), dy.begin(), 0.0);
    });
  }
}

TEST(UnaryGrad, OfLargeArgumentsIsFinite) {
  for (Unary op : {Unary::kSilu, Unary::kGelu, Unary::kTanh, Unary::kSigmoid, Unary::kElu}) {
    const std::vector<float> x{-1000, 1000}, dy{1, 1};
    std::vector<float> dx(2);
    cpu::unary_grad(op, 2, x.data(), dy.data(), dx.data());
    EXPECT_NEAR(dx[0], 0, 1e-30);
    EXPECT_NEAR(dx[1], op == Unary::kTanh || op == Unary::kSigmoid ? 0 : 1, 1e-6);
  }
}

TEST(SoftmaxGrad, MatchesTheReferenceAndFiniteDifferences) {
  for_each_target([] {
    for (int64_t C : {1, 7, 16, 33}) {
      const std::vector<double> x = random_doubles(3 * C, 1);
      Buffer<float> y(3 * C), dy = random_buffer(3 * C, 2);
      std::vector<double> exact(static_cast<size_t>(3 * C)), want(exact.size());
      reference::softmax(3, C, x.data(), exact.data());
      std::copy(exact.begin(), exact.end(), y.data());
      reference::softmax_grad(3, C, exact.data(), dy.doubles().data(), want.data());
      cpu::softmax_grad(3, C, y.data(), dy.data(), dy.data());
      expect_near(dy, want, 8 * kEps, 20 * kEps, "dx");
    }
  });
  std::vector<double> x = random_doubles(10, 5), y(10), slopes(10);
  const std::vector<double> dy = random_doubles(10, 6);
  reference::softmax(2, 5, x.data(), y.data());
  reference::softmax_grad(2, 5, y.data(), dy.data(), slopes.data());
  expect_slopes(x, slopes, "dx", [&] {
    reference::softmax(2, 5, x.data(), y.data());
    return std::inner_product(y.begin(), y.end(), dy.begin(), 0.0);
  });
}

TEST(SumColumns, MatchesTheReference) {
  for_each_target([] {
    for (const auto& [N, C] : {std::pair<int64_t, int64_t>(1, 5), {63, 16}, {200, 33}, {1000, 3}}) {
      const Buffer<float> x = random_buffer(N * C, 1);
      Buffer<float> sums(C);
      std::vector<double> want(static_cast<size_t>(C));
      reference::sum_columns(N, C, x.doubles().data(), want.data());
      cpu::sum_columns(N, C, x.data(), sums.data());
      expect_near(sums, want, 0, 10 * kEps * static_cast<double>(64 + N / 64), "sums");  // runs of 64, then their sums
    }
  });
}

// Whole numbers, whose sums are exact.
TEST(AddToRows, AddsEveryRowWhereItBelongs) {
  for_each_thread_count([] {
    for (int64_t N : {1, 7, 3000}) {
      constexpr int64_t kRows = 5, kColumns = 19;
      Buffer<float> table(kRows * kColumns, 1, 1.0f), x(N * kColumns);
      std::vector<double> want(static_cast<size_t>(table.size()), 1.0);
      std::vector<int64_t> rows;
      for (int64_t n = 0; n < N; ++n) {
        rows.push_back(n * n % (kRows - 1));  // the last row stays as it was
        for (int64_t c = 0; c < kColumns; ++c) {
          x[n * kColumns + c] = static_cast<float>(n % 7 + c);
          want[static_cast<size_t>(rows.back() * kColumns + c)] += static_cast<double>(n % 7 + c);
        }
      }
      cpu::add_to_rows(N, kColumns, kRows, rows.data(), x.data(), table.data());
      expect_near(table, want, 0, 0, "table");
    }
  });
}

struct Features {
  const char* name;
  bool taylor, packed;
  int64_t count(int64_t D) const {
    const int64_t second = packed ? D * (D + 1) / 2 : D * D;
    return taylor ? 1 + D + second : second;
  }
};
constexpr Features kFeatures[] = {{"taylor", true, false}, {"packed taylor", true, true}, {"squares", false, true}};

void reference_grad(const Features& f, int64_t N, int64_t D, const double* x, const double* dy, double* dx) {
  f.taylor ? reference::taylor_features_grad(N, D, f.packed, x, dy, dx)
           : reference::packed_squares_grad(N, D, x, dy, dx);
}

TEST(FeatureGrad, MatchesTheReference) {
  for_each_target([] {
    for (const Features& f : kFeatures) {
      for (int64_t D : {1, 2, 5, 16, 19}) {
        const int64_t F = f.count(D);
        const Buffer<float> x = random_buffer(3 * D, 1), dy = random_buffer(3 * F, 2);
        Buffer<float> dx(3 * D);
        std::vector<double> want(static_cast<size_t>(3 * D));
        reference_grad(f, 3, D, x.doubles().data(), dy.doubles().data(), want.data());
        f.taylor ? cpu::taylor_features_grad(3, D, f.packed, x.data(), dy.data(), dx.data())
                 : cpu::packed_squares_grad(3, D, x.data(), dy.data(), dx.data());
        expect_near(dx, want, 8 * kEps, 20 * kEps * static_cast<double>(D + 4), f.name);  // sums of about 2 D products
      }
    }
  });
}

TEST(FeatureGrad, ReferenceMatchesFiniteDifferences) {
  for (const Features& f : kFeatures) {
    const int64_t D = 4, F = f.count(D);
    std::vector<double> x = random_doubles(2 * D, 1), slopes(x.size());
    const std::vector<double> dy = random_doubles(2 * F, 2);
    reference_grad(f, 2, D, x.data(), dy.data(), slopes.data());
    expect_slopes(x, slopes, f.name, [&] {
      std::vector<double> y(static_cast<size_t>(2 * F));
      f.taylor ? reference::taylor_features(2, D, f.packed, x.data(), y.data())
               : reference::packed_squares(2, D, x.data(), y.data());
      return std::inner_product(y.begin(), y.end(), dy.begin(), 0.0);
    });
  }
}

// A matrix that BLAS multiplies, and gradients that nobody asks for.
TEST(LinearGrad, MatchesTheReferenceForEverySizeAndWish) {
  for (const auto& [N, I, O] : {std::tuple<int64_t, int64_t, int64_t>(5, 300, 7), {600, 24, 40}, {9, 17, 270}}) {
    const Buffer<float> x = random_buffer(N * I, 1), w = random_buffer(O * I, 2), dy = random_buffer(N * O, 3);
    std::vector<double> dx(static_cast<size_t>(N * I)), dw(static_cast<size_t>(O * I)), dbias(static_cast<size_t>(O));
    reference::linear_grad(N, I, O, x.doubles().data(), w.doubles().data(), dy.doubles().data(), dx.data(), dw.data(),
                           dbias.data());
    for (int wish = 1; wish < 8; ++wish) {
      Buffer<float> got_dx(N * I), got_dw(O * I), got_dbias(O);
      LinearGradArgs args{.N = N, .I = I, .O = O, .x = x.data(), .w = w.data(), .dy = dy.data()};
      if (wish & 1) args.dx = got_dx.data();
      if (wish & 2) args.dw = got_dw.data();
      if (wish & 4) args.dbias = got_dbias.data();
      Buffer<float> scratch(cpu::linear_grad_scratch(args));
      args.scratch = scratch.data();
      cpu::linear_grad(args);
      const auto bound = [](int64_t terms) { return 16 * kEps * (4 + std::sqrt(static_cast<double>(terms))) * 4; };
      if (wish & 1) expect_near(got_dx, dx, 16 * kEps, bound(O), "dx");
      if (wish & 2) expect_near(got_dw, dw, 16 * kEps, bound(N), "dw");
      if (wish & 4) expect_near(got_dbias, dbias, 16 * kEps, bound(N), "dbias");
    }
  }
}

}  // namespace
}  // namespace rebased::kernels
