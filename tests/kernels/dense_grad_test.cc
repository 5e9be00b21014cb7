#include "kernels/dense_grad.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <tuple>
#include <vector>

#include "cores/norm/kernel.h"
#include "cores/swiglu/kernel.h"
#include "kernels/dense.h"
#include "kernels/kernel_buffers.h"

namespace rebased::kernels {
namespace {

constexpr double kEps = 0x1p-24;

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

TEST(NormGrad, NanStaysInItsRow) {
  Buffer<float> x = random_buffer(30, 1), slopes = random_buffer(30, 2), dx(30);
  x[7] = std::numeric_limits<float>::quiet_NaN();
  NormGradArgs<float> args{.N = 6, .C = 5, .x = x.data(), .eps = 0.5, .dy = slopes.data(), .dx = dx.data()};
  Buffer<float> scratch(cpu::norm_grad_scratch(args));
  args.scratch = scratch.data();
  cpu::layer_norm_grad(args);
  for (int64_t i = 0; i < 30; ++i) EXPECT_EQ(std::isnan(dx[i]), i / 5 == 1) << i;
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
