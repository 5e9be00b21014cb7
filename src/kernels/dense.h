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

void unary(Unary op, int64_t n, const float* x, float* y) noexcept;
void scale_shift(int64_t n, const float* x, double scale, double shift, float* y) noexcept;  // y = scale x + shift

void add(int64_t N, int64_t C, const float* a, const float* b, Broadcast how, float* y) noexcept;
void mul(int64_t N, int64_t C, const float* a, const float* b, Broadcast how, float* y) noexcept;

void sum_rows(int64_t N, int64_t C, const float* x, float* y) noexcept;  // y[N] = sums over C

// y[n] = table[ids[n]], rows of C; every id inside the table.
void embedding(int64_t N, int64_t C, const int64_t* ids, const float* table, float* y) noexcept;

}  // namespace cpu

// The same in double by plain loops: the oracle.
namespace reference {
void linear(int64_t N, int64_t I, int64_t O, const double* x, const double* w, const double* bias, double* y) noexcept;
void unary(Unary op, int64_t n, const double* x, double* y) noexcept;
void scale_shift(int64_t n, const double* x, double scale, double shift, double* y) noexcept;
void add(int64_t N, int64_t C, const double* a, const double* b, Broadcast how, double* y) noexcept;
void mul(int64_t N, int64_t C, const double* a, const double* b, Broadcast how, double* y) noexcept;
void embedding(int64_t N, int64_t C, const int64_t* ids, const double* table, double* y) noexcept;
void sum_rows(int64_t N, int64_t C, const double* x, double* y) noexcept;
}  // namespace reference
}  // namespace rebased::kernels
