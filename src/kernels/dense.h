#pragma once

#include <cstdint>

namespace rebased::kernels {

// The small dense operations of an inference engine, forward only, float32, threaded over rows. Outputs may be inputs
// for the elementwise ones. Their oracle is the torch engine's float64 form, checked by the op rows of the contract.
namespace cpu {

// y[N, O] = x[N, I] w[O, I]^T + bias. One row streams the weights (bandwidth-bound, split over outputs); more go to BLAS.
void linear(int64_t N, int64_t I, int64_t O, const float* x, const float* w, const float* bias, float* y) noexcept;

// Rows of C: y = (x - mean) / sqrt(var + eps) * gamma + beta, biased variance; gamma and beta [C] may be null.
void layer_norm(int64_t N, int64_t C, const float* x, const float* gamma, const float* beta, double eps, float* y) noexcept;
// Rows of C: y = x / sqrt(mean(x^2) + eps) * weight; weight [C] may be null.
void rms_norm(int64_t N, int64_t C, const float* x, const float* weight, double eps, float* y) noexcept;
// Rows of C: numerically safe softmax.
void softmax(int64_t N, int64_t C, const float* x, float* y) noexcept;

enum class Unary : uint8_t { kSilu, kGelu, kRelu, kElu, kExp, kSquare, kTanh, kSigmoid, kSin };  // kGelu: exact, by erf
void unary(Unary op, int64_t n, const float* x, float* y) noexcept;
void scale_shift(int64_t n, const float* x, double scale, double shift, float* y) noexcept;  // y = scale x + shift

// How the second operand of a binary operation repeats over the rows [N, C] of the first.
enum class Broadcast : uint8_t { kSame, kRow, kColumn };  // b is [N, C], [C] or [N, 1]
void add(int64_t N, int64_t C, const float* a, const float* b, Broadcast how, float* y) noexcept;
void mul(int64_t N, int64_t C, const float* a, const float* b, Broadcast how, float* y) noexcept;

void sum_rows(int64_t N, int64_t C, const float* x, float* y) noexcept;  // y[N]

// y[b,t,c] = sum_{j<=t} filter[c,j] x[b,t-j,c], the direct form: O(T^2). filter [C, L], L >= T.
void long_conv(int64_t B, int64_t T, int64_t C, int64_t L, const float* x, const float* filter, float* y) noexcept;

// Rotary embedding of the first `rotary` (even) channels of x [B, T, H, D], half-split pairs (i, i + rotary/2), angle
// position[b,t] * base^(-2i/rotary); the remaining channels pass through. arXiv:2104.09864.
void rope(int64_t B, int64_t T, int64_t H, int64_t D, int64_t rotary, double base, const int64_t* positions, const float* x,
          float* y) noexcept;

// Rows of D -> rows of features, in the order of the docs of each map (core.md section 3).
void taylor_features(int64_t N, int64_t D, bool packed, const float* x, float* y) noexcept;
void packed_squares(int64_t N, int64_t D, const float* x, float* y) noexcept;

}  // namespace cpu
}  // namespace rebased::kernels
