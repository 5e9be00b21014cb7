#include "kernels/dense.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"

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

void layer_norm(int64_t N, int64_t C, const double* x, const double* gamma, const double* beta, double eps,
                double* y) noexcept {
  for (int64_t n = 0; n < N; ++n, x += C, y += C) {
    double mean = 0, variance = 0;
    for (int64_t c = 0; c < C; ++c) mean += x[c] / static_cast<double>(C);
    for (int64_t c = 0; c < C; ++c) variance += (x[c] - mean) * (x[c] - mean) / static_cast<double>(C);
    for (int64_t c = 0; c < C; ++c) {
      y[c] = (x[c] - mean) / std::sqrt(variance + eps) * (gamma ? gamma[c] : 1) + (beta ? beta[c] : 0);
    }
  }
}

void rms_norm(int64_t N, int64_t C, const double* x, const double* weight, double eps, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n, x += C, y += C) {
    double square = 0;
    for (int64_t c = 0; c < C; ++c) square += x[c] * x[c] / static_cast<double>(C);
    for (int64_t c = 0; c < C; ++c) y[c] = x[c] / std::sqrt(square + eps) * (weight ? weight[c] : 1);
  }
}

void softmax(int64_t N, int64_t C, const double* x, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n, x += C, y += C) {
    const double top = C > 0 ? *std::max_element(x, x + C) : 0;
    double sum = 0;
    for (int64_t c = 0; c < C; ++c) sum += std::exp(x[c] - top);
    for (int64_t c = 0; c < C; ++c) y[c] = std::exp(x[c] - top) / sum;
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

void swiglu(int64_t N, int64_t C, const double* x, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n, x += 2 * C, y += C) {
    for (int64_t c = 0; c < C; ++c) y[c] = x[c] * x[C + c] / (1 + std::exp(-x[C + c]));
  }
}

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

void rope(int64_t B, int64_t T, int64_t H, int64_t D, int64_t rotary, double base, const int64_t* positions,
          const double* x, double* y) noexcept {
  for (int64_t row = 0; row < B * T * H; ++row, x += D, y += D) {
    for (int64_t i = 0; i < rotary / 2; ++i) {
      const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(rotary);
      const double angle = static_cast<double>(positions[row / H]) * std::pow(base, exponent);
      const double first = x[i], second = x[i + rotary / 2];
      y[i] = first * std::cos(angle) - second * std::sin(angle);
      y[i + rotary / 2] = first * std::sin(angle) + second * std::cos(angle);
    }
    for (int64_t i = rotary; i < D; ++i) y[i] = x[i];
  }
}

void taylor_features(int64_t N, int64_t D, bool packed, const double* x, double* y) noexcept {
  const double root = std::sqrt(static_cast<double>(D));
  for (int64_t n = 0; n < N; ++n, x += D) {
    *y++ = 1;
    for (int64_t i = 0; i < D; ++i) *y++ = x[i] / std::sqrt(root);
    for (int64_t i = 0; packed && i < D; ++i) *y++ = x[i] * x[i] / (std::sqrt(2.0) * root);
    for (int64_t i = 0; i < D; ++i) {
      for (int64_t j = packed ? i + 1 : 0; j < D; ++j) *y++ = x[i] * x[j] / (packed ? root : std::sqrt(2.0) * root);
    }
  }
}

void packed_squares(int64_t N, int64_t D, const double* x, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n, x += D) {
    for (int64_t i = 0; i < D; ++i) *y++ = x[i] * x[i];
    for (int64_t i = 0; i < D; ++i) {
      for (int64_t j = i + 1; j < D; ++j) *y++ = std::sqrt(2.0) * x[i] * x[j];
    }
  }
}

void embedding(int64_t N, int64_t C, const int64_t* ids, const double* table, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n) std::copy_n(table + ids[n] * C, C, y + n * C);
}

// Two rounds of a 32-bit integer hash (xor-shifts and odd multipliers) with half of the mixed key before each.
bool dropout_keeps(uint64_t key, double p, int64_t i) noexcept {
  const auto threshold = static_cast<uint32_t>(std::lround(std::clamp(p, 0.0, 1.0) * 0x1p24));
  const uint64_t mixed = mix64(key ^ mix64(static_cast<uint64_t>(i) >> 32));
  uint32_t h = static_cast<uint32_t>(i) ^ static_cast<uint32_t>(mixed);
  h = (h ^ (h >> 16)) * 0x7feb352dU;
  h = (h ^ (h >> 15)) * 0x846ca68bU;
  h = (h ^ (h >> 16)) + static_cast<uint32_t>(mixed >> 32);
  h = (h ^ (h >> 16)) * 0x7feb352dU;
  h ^= h >> 15;
  return (h >> 8) >= threshold;
}

void dropout(int64_t n, uint64_t key, double p, const double* x, double* y) noexcept {
  for (int64_t i = 0; i < n; ++i) y[i] = dropout_keeps(key, p, i) ? x[i] / (1 - p) : 0;
}

void sum_rows(int64_t N, int64_t C, const double* x, double* y) noexcept {
  for (int64_t n = 0; n < N; ++n) {
    double sum = 0;
    for (int64_t c = 0; c < C; ++c) sum += x[n * C + c];
    y[n] = sum;
  }
}

}  // namespace rebased::kernels::reference
