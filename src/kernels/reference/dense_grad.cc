#include "kernels/dense_grad.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace rebased::kernels::reference {
namespace {

double slope(Unary op, double x) {
  const double sigmoid = 1 / (1 + std::exp(-x));
  switch (op) {
    case Unary::kSilu:
      return sigmoid * (1 + x * (1 - sigmoid));
    case Unary::kGelu:
      return 0.5 * std::erfc(-x / std::numbers::sqrt2) + x * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
    case Unary::kRelu:
      return x <= 0 ? 0 : 1;
    case Unary::kElu:
      return x > 0 ? 1 : std::exp(x);
    case Unary::kExp:
      return std::exp(x);
    case Unary::kSquare:
      return 2 * x;
    case Unary::kTanh:
      return 1 - std::tanh(x) * std::tanh(x);
    case Unary::kSigmoid:
      return sigmoid * (1 - sigmoid);
  }
  return 0;
}

}  // namespace

void unary_grad(Unary op, int64_t n, const double* x, const double* dy, double* dx) noexcept {
  for (int64_t i = 0; i < n; ++i) dx[i] = dy[i] * slope(op, x[i]);
}

void sum_columns(int64_t N, int64_t C, const double* x, double* sums) noexcept {
  std::fill_n(sums, C, 0.0);
  for (int64_t i = 0; i < N * C; ++i) sums[i % C] += x[i];
}

void add_to_rows(int64_t N, int64_t C, int64_t /*V*/, const int64_t* rows, const double* x, double* table) noexcept {
  for (int64_t i = 0; i < N * C; ++i) table[rows[i / C] * C + i % C] += x[i];
}

}  // namespace rebased::kernels::reference
