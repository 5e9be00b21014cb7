#pragma once

#include <cstdint>

#include "kernels/form.h"

namespace rebased::kernels {

// Similarity a + b s + c s^2 of the scaled score s = scale * <q, k>.
// ReBased: 0, 0, 1 (arXiv:2402.10644). Based: 1, 1, 1/2 (arXiv:2402.18668).
struct QuadraticKernel {
  double a = 0;
  double b = 0;
  double c = 1;
};

// Monomials of a key that the state is summed over: [1 if a != 0 | x_i if b != 0 | packed squares if c != 0], where the
// packed squares are x_0^2 .. x_{Dk-1}^2, then sqrt(2) x_i x_j for i < j row by row. The coefficients a, b scale,
// c scale^2 multiply the query side, so that the state does not depend on them.
constexpr int64_t quadratic_feature_count(int64_t Dk, const QuadraticKernel& kernel) {
  return (kernel.a != 0 ? 1 : 0) + (kernel.b != 0 ? Dk : 0) + (kernel.c != 0 ? Dk * (Dk + 1) / 2 : 0);
}

inline constexpr int64_t kMaxKeyDim = 128;

// Whether N queries, each as pairs with up to T keys, take fewer operations than all T queries as pairs, and than all
// of them through a state; and keys are not too wide for it.
constexpr bool few_queries_cost_less(int64_t T, int64_t N, int64_t Dk, int64_t Dv, const QuadraticKernel& kernel) {
  const int64_t pair = 2 * Dk + 2 * Dv + 3, state = quadratic_feature_count(Dk, kernel) * (4 * Dv + 7);
  return Dk <= kMaxKeyDim && 2 * N < T + 1 && N * pair < state;
}

// Causal attention with a quadratic similarity, every (batch, head) on its own:
//   A[t,s] = a + b x + c x^2, x = scale <q_t, k_s>, s <= t
//   z[t] = sum_s A[t,s] (+ the initial state's part);  o[t] = sum_s A[t,s] v_s / (z[t] + eps), or the bare sum when
//   normalize is false.
// All arrays dense row-major. Source: arXiv:2402.10644 section 4.
// With `queries`, only those tokens ask: q, o and z, and the gradients of q and o, then have N rows in place of T. They
// take the parallel form, no state and no positions.
template <class Real>
struct QuadraticAttentionArgs {
  int64_t B = 0, T = 0, H = 0, Dk = 0, Dv = 0;  // Dk <= kMaxKeyDim
  int64_t N = 0;                                // with
  const int64_t* queries = nullptr;             // [B, N]: tokens, ascending in a row; null: all of them
  const Real* q = nullptr;                      // [B, T, H, Dk]
  const Real* k = nullptr;                      // [B, T, H, Dk]
  const Real* v = nullptr;                      // [B, T, H, Dv]
  QuadraticKernel kernel;
  double scale = 1;
  double eps = 1e-12;
  bool normalize = true;
  Real* o = nullptr;         // [B, T, H, Dv]
  Real* z = nullptr;         // [B, T, H] without eps; may be null when no backward follows
  const Real* s0 = nullptr;  // [B, H, F, Dv] and
  const Real* z0 = nullptr;  // [B, H, F]: the initial state; both null for a fresh start
  Real* sT = nullptr;        // [B, H, F, Dv] and
  Real* zT = nullptr;        // [B, H, F]: the final state; both null when not wanted; may be s0, z0 themselves
  const int64_t* positions = nullptr;  // [B, T]: documents inside the rows (kernels/tools/documents.h), or null
  Form form = Form::kAuto;
  int64_t chunk = 0;        // tokens a chunk in the chunked form; 0 lets the kernel choose
  Real* scratch = nullptr;  // quadratic_attention_scratch(args) elements
};

// Gradient of the above by the quotient rule: with u = 1 / (z + eps), dA[t,s] = u <d_o_t, v_s - o_t>, so that the
// normaliser's part comes by o. `forward` is the forward call's arguments with o and z filled. Every output is
// overwritten.
template <class Real>
struct QuadraticAttentionGradArgs {
  QuadraticAttentionArgs<Real> forward;
  const Real* d_o = nullptr;   // [B, T, H, Dv]
  const Real* d_sT = nullptr;  // [B, H, F, Dv] or null: zero
  const Real* d_zT = nullptr;  // [B, H, F] or null: zero
  Real* dq = nullptr;          // [B, T, H, Dk]
  Real* dk = nullptr;          // [B, T, H, Dk]
  Real* dv = nullptr;          // [B, T, H, Dv]
  Real* d_s0 = nullptr;        // [B, H, F, Dv] or null
  Real* d_z0 = nullptr;        // [B, H, F] or null
  Real* scratch = nullptr;     // quadratic_attention_grad_scratch(args) elements
};

template <class Real>
constexpr int64_t key_dim(const QuadraticAttentionArgs<Real>& args) {
  return args.Dk;
}
template <class Real>
constexpr int64_t state_features(const QuadraticAttentionArgs<Real>& args) {
  return quadratic_feature_count(args.Dk, args.kernel);
}

// Oracle: double, plain loops, the quadratic definition (the state enters through its monomials).
namespace reference {
void quadratic_attention(const QuadraticAttentionArgs<double>& args) noexcept;
void quadratic_attention_grad(const QuadraticAttentionGradArgs<double>& args) noexcept;
}  // namespace reference

// Highway kernels. Threads over (batch, head), and over time where there are too few of those (chunked form). No
// allocation; scratch is for the thread count at the time of asking. Chunks are cut to 256 tokens.
// kAuto: with a state, recurrent below 4 tokens, else chunked. Without, parallel when its operations a token,
// (T+1)/2 (2 Dk + 2 Dv + 3), are at most 1.25 (F (4 Dv + 7) + (chunk+1)/2 (2 Dk + 2 Dv + 3)), else chunked; 1.25 is
// measured: the chunked form reaches that much less of the machine. The gradient of the recurrent form runs in chunks.
namespace cpu {
Form choose_form(const QuadraticAttentionArgs<float>& args) noexcept;  // what kAuto becomes
int64_t quadratic_attention_scratch(const QuadraticAttentionArgs<float>& args) noexcept;
int64_t quadratic_attention_grad_scratch(const QuadraticAttentionGradArgs<float>& args) noexcept;
void quadratic_attention(const QuadraticAttentionArgs<float>& args) noexcept;
void quadratic_attention_grad(const QuadraticAttentionGradArgs<float>& args) noexcept;
}  // namespace cpu

}  // namespace rebased::kernels
