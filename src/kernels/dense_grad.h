#pragma once

#include <cstdint>

#include "kernels/dense.h"

namespace rebased::kernels {

// Gradients of those operations of dense.h for which training has a kernel. NaN in, NaN out.

// Gradients of layer_norm and rms_norm (dense.h). Of the forward pass only x is needed: means and deviations are
// computed anew, a row at a time.
template <class Real>
struct NormGradArgs {
  int64_t N = 0, C = 0;
  const Real* x = nullptr;     // [N, C]
  const Real* gain = nullptr;  // [C] or null: gamma, or the weight of rms_norm
  double eps = 0;
  const Real* dy = nullptr;     // [N, C]
  const Real* other = nullptr;  // [N, C] or null: the gradient of x from its other uses, which dx includes
  Real* dx = nullptr;           // [N, C], overwritten; may be dy or other
  Real* d_gain = nullptr;       // [C], overwritten, or null
  Real* d_shift = nullptr;      // [C], overwritten, or null: of beta; rms_norm has none
  Real* scratch = nullptr;      // norm_grad_scratch(args) elements (cpu)
};

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
void layer_norm_grad(const NormGradArgs<double>& args) noexcept;
void rms_norm_grad(const NormGradArgs<double>& args) noexcept;
void swiglu_grad(int64_t N, int64_t C, const double* x, const double* dy, double* dx) noexcept;
void unary_grad(Unary op, int64_t n, const double* x, const double* dy, double* dx) noexcept;
void softmax_grad(int64_t N, int64_t C, const double* y, const double* dy, double* dx) noexcept;
void sum_columns(int64_t N, int64_t C, const double* x, double* sums) noexcept;
void taylor_features_grad(int64_t N, int64_t D, bool packed, const double* x, const double* dy, double* dx) noexcept;
void packed_squares_grad(int64_t N, int64_t D, const double* x, const double* dy, double* dx) noexcept;
}  // namespace reference
namespace cpu {
// By the functions of thin_linear.h where those are faster and all three are asked for, else by BLAS.
int64_t linear_grad_scratch(const LinearGradArgs& args) noexcept;
void linear_grad(const LinearGradArgs& args) noexcept;

int64_t norm_grad_scratch(const NormGradArgs<float>& args) noexcept;
void layer_norm_grad(const NormGradArgs<float>& args) noexcept;
void rms_norm_grad(const NormGradArgs<float>& args) noexcept;
// x, dx [N, 2 C], dy [N, C]; dx is overwritten and may be x.
void swiglu_grad(int64_t N, int64_t C, const float* x, const float* dy, float* dx) noexcept;

// dx = dy times the slope of op at x; dx may be x or dy. The slope of relu at 0 is 0.
void unary_grad(Unary op, int64_t n, const float* x, const float* dy, float* dx) noexcept;
// Rows of C, y the softmax: dx = y (dy - <dy, y>); dx may be dy.
void softmax_grad(int64_t N, int64_t C, const float* y, const float* dy, float* dx) noexcept;
// sums[C] over the N rows of x: the gradient of what was added to every row.
void sum_columns(int64_t N, int64_t C, const float* x, float* sums) noexcept;
// table[rows[n]] += x[n], rows of C, some named repeatedly: the gradient of embedding. Every row lies in the table [V,
// C].
void add_to_rows(int64_t N, int64_t C, int64_t V, const int64_t* rows, const float* x, float* table) noexcept;

// Gradients of the feature maps: x, dx [N, D], dy [N, features].
void taylor_features_grad(int64_t N, int64_t D, bool packed, const float* x, const float* dy, float* dx) noexcept;
void packed_squares_grad(int64_t N, int64_t D, const float* x, const float* dy, float* dx) noexcept;
}  // namespace cpu

}  // namespace rebased::kernels
