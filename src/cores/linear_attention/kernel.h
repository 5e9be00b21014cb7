#pragma once

#include <cstdint>

#include "kernels/form.h"

namespace rebased::kernels {

// How finely sums decay: not at all, by a constant of each head, by a number of each token and head, or of each token,
// head and feature.
enum class Decay : uint8_t { kNone, kHead, kToken, kFeature };

// Causal linear attention on features that are already mapped, every (batch, head) on its own:
//   S_t = A_t S_{t-1} + k_t v_t^T,  Z_t = A_t Z_{t-1} + k_t,  o_t = scale q_t^T S_t  [ / (scale q_t . Z_t + eps) when
//   normalize ]
// A_t is the diagonal matrix of exp(log_decay), or the identity. With a bonus u, a token is read before it is written:
//   o_t = scale q_t^T (S_{t-1} + diag(u) k_t v_t^T),  and Z likewise.
// All arrays dense row-major. Source: arXiv:2006.16236 section 3; decay: arXiv:2307.08621 section 2.1 (a head),
// arXiv:2312.06635 section 4 (a feature); bonus: arXiv:2404.05892 section 4.
template <class Real>
struct LinearAttentionArgs {
  int64_t B = 0, T = 0, H = 0, F = 0, Dv = 0;
  const Real* q = nullptr;  // [B, T, H, F], mapped
  const Real* k = nullptr;  // [B, T, H, F], mapped
  const Real* v = nullptr;  // [B, T, H, Dv]
  Decay decay = Decay::kNone;
  const Real* log_decay = nullptr;  // at most 0, -inf included: [H], [B, T, H] or [B, T, H, F] as `decay` says
  const Real* bonus = nullptr;      // [H, F] or null; only with decay
  double scale = 1;
  double eps = 1e-12;
  bool normalize = true;
  Real* o = nullptr;         // [B, T, H, Dv]
  Real* z = nullptr;         // [B, T, H]: scale q_t . Z_t without eps; may be null when no backward follows
  const Real* s0 = nullptr;  // [B, H, F, Dv] and
  const Real* z0 = nullptr;  // [B, H, F]: initial state; both null for a fresh start. With decay z0 and zT are null
                             // unless normalize
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
  Real* d_log_decay = nullptr;        // as log_decay, and
  Real* d_bonus = nullptr;            // [H, F]: null where not wanted
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

// As quadratic attention with the similarity 0 + x + 0 x^2 and Dk = F: its threads, scratch, and choice of form. With
// decay: threads over (batch, head), and the parallel form takes at most 256 tokens at once.
namespace cpu {
Form choose_form(const LinearAttentionArgs<float>& args) noexcept;
int64_t linear_attention_scratch(const LinearAttentionArgs<float>& args) noexcept;
int64_t linear_attention_grad_scratch(const LinearAttentionGradArgs<float>& args) noexcept;
void linear_attention(const LinearAttentionArgs<float>& args) noexcept;
void linear_attention_grad(const LinearAttentionGradArgs<float>& args) noexcept;
}  // namespace cpu

}  // namespace rebased::kernels
