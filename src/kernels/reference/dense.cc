#include "kernels/dense.h"

#include <algorithm>
#include <cmath>

namespace rebased::kernels::reference {

void linear(int64_t N, int64_t I, int64_t O, const double* x, const double* w, const double* bias, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t o = 0; o < O; ++o) {
      double sum = bias ? bias[o] : 0;
      for (int64_t i = 0; i < I; ++i) sum += x[n * I + i] * w[o * I + i];
      y[n * O + o] = sum;
    }
  }
}

namespace {

double apply(Unary op, double x) {
  switch (op) {
    case Unary::kSilu:
      return x / (1 + std::exp(-x));
    case Unary::kGelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Unary::kRelu:
      return x <= 0 ? 0 : x;
    case Unary::kElu:
      return x > 0 ? x : std::expm1(x);
    case Unary::kExp:
      return std::exp(x);
    case Unary::kSquare:
      return x * x;
    case Unary::kTanh:
      return std::tanh(x);
    case Unary::kSigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return x;
}

int64_t operand(Broadcast how, int64_t n, int64_t c, int64_t C) {
  return how == Broadcast::kSame ? n * C + c : how == Broadcast::kRow ? c : n;
}

}  // namespace

void unary(Unary op, int64_t n, const double* x, double* y) noexcept {
  for (int64_t i = 0; i < n; ++i) y[i] = apply(op, x[i]);
}

void scale_shift(int64_t n, const double* x, double scale, double shift, double* y) noexcept {
  for (int64_t i = 0; i < n; ++i) y[i] = scale * x[i] + shift;
}

void add(int64_t N, int64_t C, const double* a, const double* b, Broadcast how, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t c = 0; c < C; ++c) y[n * C + c] = a[n * C + c] + b[operand(how, n, c, C)];
  }
}

void mul(int64_t N, int64_t C, const double* a, const double* b, Broadcast how, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t c = 0; c < C; ++c) y[n * C + c] = a[n * C + c] * b[operand(how, n, c, C)];
  }
}

void embedding(int64_t N, int64_t C, const int64_t* ids, const double* table, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n) std::copy_n(table + ids[n] * C, C, y + n * C);
}

void sum_rows(int64_t N, int64_t C, const double* x, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n) {
    double sum = 0;
    for (int64_t c = 0; c < C; ++c) sum += x[n * C + c];
    y[n] = sum;
  }
}

}  // namespace rebased::kernels::reference
