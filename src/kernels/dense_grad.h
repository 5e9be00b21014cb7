#pragma once

#include <cstdint>

#include "kernels/dense.h"

namespace rebased::kernels {

// Gradients of those operations of dense.h for which training has a kernel. NaN in, NaN out.

// Gradients of linear (dense.h).
struct LinearGradArgs {
  int64_t N = 0, I = 0, O = 0;
  const float* x = nullptr;   // [N, I]
  const float* w = nullptr;   // [O, I]
  const float* dy = nullptr;  // [N, O]
  float* dx = nullptr;        // [N, I], overwritten, or null
  float* dw = nullptr;        // [O, I], overwritten, or null
  float* dbias = nullptr;     // [O], overwritten, or null
  float* scratch = nullptr;   // linear_grad_scratch(args) elements
};

namespace reference {
void linear_grad(int64_t N, int64_t I, int64_t O, const double* x, const double* w, const double* dy, double* dx,
                 double* dw, double* dbias) noexcept;  // dx, dbias may be null
void unary_grad(Unary op, int64_t n, const double* x, const double* dy, double* dx) noexcept;
void sum_columns(int64_t N, int64_t C, const double* x, double* sums) noexcept;
void add_to_rows(int64_t N, int64_t C, int64_t V, const int64_t* rows, const double* x, double* table) noexcept;
}  // namespace reference
namespace cpu {
// By the functions of thin_linear.h where those are faster and all three are asked for, else by BLAS.
int64_t linear_grad_scratch(const LinearGradArgs& args) noexcept;
void linear_grad(const LinearGradArgs& args) noexcept;

// dx = dy times the slope of op at x; dx may be x or dy. The slope of relu at 0 is 0.
void unary_grad(Unary op, int64_t n, const float* x, const float* dy, float* dx) noexcept;
// sums[C] over the N rows of x: the gradient of what was added to every row.
void sum_columns(int64_t N, int64_t C, const float* x, float* sums) noexcept;
// table[rows[n]] += x[n], rows of C, some named repeatedly: the gradient of embedding. Every row lies in the table [V,
// C].
void add_to_rows(int64_t N, int64_t C, int64_t V, const int64_t* rows, const float* x, float* table) noexcept;

}  // namespace cpu

}  // namespace rebased::kernels
