#pragma once

#include <cstdint>

#include "kernels/form.h"

namespace rebased::kernels {

// Causal linear attention on features that are already mapped, every (batch, head) on its own:
//   S_t = S_{t-1} + k_t v_t^T,  Z_t = Z_{t-1} + k_t,  o_t = scale q_t^T S_t  [ / (scale q_t . Z_t + eps) when normalize
//   ]
// All arrays dense row-major. Source: arXiv:2006.16236 section 3.
template <class Real>
struct LinearAttentionArgs {
  int64_t B = 0, T = 0, H = 0, F = 0, Dv = 0;
  const Real* q = nullptr;  // [B, T, H, F], mapped
  const Real* k = nullptr;  // [B, T, H, F], mapped
  const Real* v = nullptr;  // [B, T, H, Dv]
  double scale = 1;
  double eps = 1e-12;
  bool normalize = true;
  Real* o = nullptr;         // [B, T, H, Dv]
  Real* z = nullptr;         // [B, T, H]: scale q_t . Z_t without eps; may be null when no backward follows
  const Real* s0 = nullptr;  // [B, H, F, Dv] and
  const Real* z0 = nullptr;  // [B, H, F]: initial state; both null for a fresh start
  Real* sT = nullptr;        // final state; both null when not wanted; may be s0, z0 themselves
  Real* zT = nullptr;
  const int64_t* positions = nullptr;  // [B, T]: documents inside the rows (kernels/tools/documents.h), or null
  Form form = Form::kAuto;
  int64_t chunk = 0;        // tokens a chunk in the chunked form; 0 lets the kernel choose
  Real* scratch = nullptr;  // linear_attention_scratch(args) elements
};

template <class Real>
struct LinearAttentionGradArgs {
  LinearAttentionArgs<Real> forward;  // with o and z filled
  const Real* d_o = nullptr;          // [B, T, H, Dv]
  const Real* d_sT = nullptr;         // [B, H, F, Dv] or null: zero
  const Real* d_zT = nullptr;         // [B, H, F] or null: zero
  Real* dq = nullptr;                 // [B, T, H, F]
  Real* dk = nullptr;                 // [B, T, H, F]
  Real* dv = nullptr;                 // [B, T, H, Dv]
  Real* d_s0 = nullptr;               // [B, H, F, Dv] or null
  Real* d_z0 = nullptr;               // [B, H, F] or null
  Real* scratch = nullptr;            // linear_attention_grad_scratch(args) elements
};

template <class Real>
constexpr int64_t key_dim(const LinearAttentionArgs<Real>& args) {
  return args.F;
}
template <class Real>
constexpr int64_t state_features(const LinearAttentionArgs<Real>& args) {
  return args.F;
}

namespace reference {
void linear_attention(const LinearAttentionArgs<double>& args) noexcept;
void linear_attention_grad(const LinearAttentionGradArgs<double>& args) noexcept;
}  // namespace reference

// As quadratic attention with the similarity 0 + x + 0 x^2 and Dk = F: its threads, scratch, and choice of form.
namespace cpu {
Form choose_form(const LinearAttentionArgs<float>& args) noexcept;
int64_t linear_attention_scratch(const LinearAttentionArgs<float>& args) noexcept;
int64_t linear_attention_grad_scratch(const LinearAttentionGradArgs<float>& args) noexcept;
void linear_attention(const LinearAttentionArgs<float>& args) noexcept;
void linear_attention_grad(const LinearAttentionGradArgs<float>& args) noexcept;
}  // namespace cpu

}  // namespace rebased::kernels
