#pragma once

#include <cstdint>

namespace rebased::kernels {

// The small dense operations of an inference engine, forward only, threaded over rows. y may be x (or a) for all but
// linear, swiglu, the feature maps and embedding, and b where it is as large as y. NaN in, NaN out.

enum class Unary : uint8_t { kSilu, kGelu, kRelu, kElu, kExp, kSquare, kTanh, kSigmoid };  // kGelu: exact, by erf

// How the second operand of a binary operation repeats over the rows [N, C] of the first.
enum class Broadcast : uint8_t { kSame, kRow, kColumn };  // b is [N, C], [C] or [N, 1]

namespace cpu {

using kernels::Broadcast;
using kernels::Unary;

// y[N, O] = x[N, I] w[O, I]^T + bias [O], which may be null; scratch: floats as many as linear_scratch says. A few rows
// stream the weights once (bandwidth-bound, split over outputs), from 32 on a row a lane; more than 64 go to BLAS.
int64_t linear_scratch(int64_t N, int64_t I) noexcept;
void linear(int64_t N, int64_t I, int64_t O, const float* x, const float* w, const float* bias, float* y,
            float* scratch) noexcept;

// Rows of C: y = (x - mean) / sqrt(var + eps) * gamma + beta, biased variance; gamma and beta [C] may be null.
void layer_norm(int64_t N, int64_t C, const float* x, const float* gamma, const float* beta, double eps,
                float* y) noexcept;
// Rows of C: y = x / sqrt(mean(x^2) + eps) * weight; weight [C] may be null.
void rms_norm(int64_t N, int64_t C, const float* x, const float* weight, double eps, float* y) noexcept;
// Rows of C: numerically safe softmax.
void softmax(int64_t N, int64_t C, const float* x, float* y) noexcept;

void unary(Unary op, int64_t n, const float* x, float* y) noexcept;
void scale_shift(int64_t n, const float* x, double scale, double shift, float* y) noexcept;  // y = scale x + shift

void add(int64_t N, int64_t C, const float* a, const float* b, Broadcast how, float* y) noexcept;
void mul(int64_t N, int64_t C, const float* a, const float* b, Broadcast how, float* y) noexcept;

// Rows [up | gate] of 2 C -> rows of C: y = up * silu(gate). arXiv:2002.05202.
void swiglu(int64_t N, int64_t C, const float* x, float* y) noexcept;

void sum_rows(int64_t N, int64_t C, const float* x, float* y) noexcept;  // y[N] = sums over C

// Rotary embedding of the first `rotary` (even) channels of x [B, T, H, D], half-split pairs (i, i + rotary/2), angle
// position[b,t] * base^(-2i/rotary); the remaining channels pass through. arXiv:2104.09864.
void rope(int64_t B, int64_t T, int64_t H, int64_t D, int64_t rotary, double base, const int64_t* positions,
          const float* x, float* y) noexcept;

// Rows of D -> rows of features with phi(q) . phi(k) = 1 + s + s^2/2, s = <q, k> / sqrt(D) (arXiv:2402.18668):
//   [1 | x / D^(1/4) | x_i x_j / sqrt(2 D), all i, j row by row]  or, packed, with the last part
//   [x_i^2 / sqrt(2 D) | x_i x_j / sqrt(D), i < j row by row].
void taylor_features(int64_t N, int64_t D, bool packed, const float* x, float* y) noexcept;
// [x_i^2 | sqrt(2) x_i x_j, i < j row by row], the monomials of quadratic_attention.h: phi(q) . phi(k) = <q, k>^2.
void packed_squares(int64_t N, int64_t D, const float* x, float* y) noexcept;

// y[n] = table[ids[n]], rows of C; every id inside the table.
void embedding(int64_t N, int64_t C, const int64_t* ids, const float* table, float* y) noexcept;

// y[i] = x[i] / (1 - p) when a hash of (key, i) says keep, which it does with probability 1 - p (in steps of 2^-24),
// else 0. The gradient is the same call on dy: no mask is stored. p in [0, 1].
void dropout(int64_t n, uint64_t key, double p, const float* x, float* y) noexcept;

}  // namespace cpu

// The same in double by plain loops: the oracle.
namespace reference {
void linear(int64_t N, int64_t I, int64_t O, const double* x, const double* w, const double* bias, double* y) noexcept;
void layer_norm(int64_t N, int64_t C, const double* x, const double* gamma, const double* beta, double eps,
                double* y) noexcept;
void rms_norm(int64_t N, int64_t C, const double* x, const double* weight, double eps, double* y) noexcept;
void softmax(int64_t N, int64_t C, const double* x, double* y) noexcept;
void unary(Unary op, int64_t n, const double* x, double* y) noexcept;
void scale_shift(int64_t n, const double* x, double scale, double shift, double* y) noexcept;
void add(int64_t N, int64_t C, const double* a, const double* b, Broadcast how, double* y) noexcept;
void mul(int64_t N, int64_t C, const double* a, const double* b, Broadcast how, double* y) noexcept;
void rope(int64_t B, int64_t T, int64_t H, int64_t D, int64_t rotary, double base, const int64_t* positions,
          const double* x, double* y) noexcept;
void taylor_features(int64_t N, int64_t D, bool packed, const double* x, double* y) noexcept;
void packed_squares(int64_t N, int64_t D, const double* x, double* y) noexcept;
void embedding(int64_t N, int64_t C, const int64_t* ids, const double* table, double* y) noexcept;
bool dropout_keeps(uint64_t key, double p, int64_t i) noexcept;  // element i
void dropout(int64_t n, uint64_t key, double p, const double* x, double* y) noexcept;
void swiglu(int64_t N, int64_t C, const double* x, double* y) noexcept;
void sum_rows(int64_t N, int64_t C, const double* x, double* y) noexcept;
}  // namespace reference
}  // namespace rebased::kernels
