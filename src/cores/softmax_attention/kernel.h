#pragma once

#include <cstdint>

namespace rebased::kernels {

// Softmax attention of T queries over S key slots; head h reads key head h / (H / Hkv).
// Query t of row b stands at position query_pos[b,t]; slot s holds the key of position key_pos[b,s], or nothing when
// that is negative. A slot is visible when 0 <= key_pos <= query_pos and, for window > 0, key_pos > query_pos - window,
// or with query_first, which takes the window's place, key_pos >= query_first.
// Invisible slots get weight 0; with additive_mask, slots that hold a key but are hidden get -10000 added to their
// score instead (zoology's mask). A query that sees nothing yields zeros.
// Dropout of the weights as dense.h's, of an array [B, H, T, S]: a weight stays in the sum that it is divided by.
template <class Real>
struct SoftmaxAttentionArgs {
  int64_t B = 0, T = 0, S = 0, H = 0, Hkv = 0, Dk = 0, Dv = 0;
  const Real* q = nullptr;               // [B, T, H, Dk]
  const Real* k = nullptr;               // [B, S, Hkv, Dk]
  const Real* v = nullptr;               // [B, S, Hkv, Dv]
  const int64_t* query_pos = nullptr;    // [B, T]
  const int64_t* key_pos = nullptr;      // [B, S]
  const int64_t* query_first = nullptr;  // [B, T]: the earliest position that a query sees; or null
  double scale = 1;
  int64_t window = 0;  // number of visible keys including the query's own; 0 is all
  bool additive_mask = false;
  double dropout = 0;  // in [0, 1)
  uint64_t dropout_key = 0;
  Real* o = nullptr;        // [B, T, H, Dv]
  Real* lse = nullptr;      // [B, T, H]: log of the sum of exp(score), -infinity where nothing is seen; or null
  Real* scratch = nullptr;  // softmax_attention_scratch(args) elements
};

// Its gradient: `forward` is the forward call's arguments with o and lse filled. With weights p = exp(score - lse) and
// delta = <d_o, o>: dv = sum p d_o, d_score = p (<d_o, v> - delta), dq = scale sum d_score k, dk = scale sum d_score q
// (arXiv:2205.14135, appendix B.2). Dropout multiplies p in dv, and <d_o, v>. Slots that hold nothing get zeros. Every
// output is overwritten.
template <class Real>
struct SoftmaxAttentionGradArgs {
  SoftmaxAttentionArgs<Real> forward;
  const Real* d_o = nullptr;  // [B, T, H, Dv]
  Real* dq = nullptr;         // [B, T, H, Dk]
  Real* dk = nullptr;         // [B, S, Hkv, Dk]
  Real* dv = nullptr;         // [B, S, Hkv, Dv]
  Real* scratch = nullptr;    // softmax_attention_grad_scratch(args) elements
};

// The earliest position that a query, counted over [B, T], sees.
template <class Real>
int64_t first_seen(const SoftmaxAttentionArgs<Real>& a, int64_t query) {
  if (a.query_first != nullptr) return a.query_first[query];
  return a.window > 0 ? a.query_pos[query] - a.window + 1 : 0;
}

namespace reference {
void softmax_attention(const SoftmaxAttentionArgs<double>& args) noexcept;
void softmax_attention_grad(const SoftmaxAttentionGradArgs<double>& args) noexcept;
}  // namespace reference

// Tiled: T x S is never stored. The gradient threads over (batch, key head).
namespace cpu {
int64_t softmax_attention_scratch(const SoftmaxAttentionArgs<float>& args) noexcept;
int64_t softmax_attention_grad_scratch(const SoftmaxAttentionGradArgs<float>& args) noexcept;
void softmax_attention(const SoftmaxAttentionArgs<float>& args) noexcept;
void softmax_attention_grad(const SoftmaxAttentionGradArgs<float>& args) noexcept;
}  // namespace cpu

}  // namespace rebased::kernels
