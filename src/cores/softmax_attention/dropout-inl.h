// Dropout on rows of weights; compiled once for each instruction set.

#include <cstdint>

#include "cores/softmax_attention/rows.h"
#include "hwy/highway.h"
#include "kernels/tools/dropout-inl.h"

#if defined(REBASED_CORES_SOFTMAX_DROPOUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_CORES_SOFTMAX_DROPOUT_INL_H_
#undef REBASED_CORES_SOFTMAX_DROPOUT_INL_H_
#else
#define REBASED_CORES_SOFTMAX_DROPOUT_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes {

// weights [count of rows, kKeys] of a step's slots, element [b, h, t, s] of [B, H, T, S].
inline void drop_slots(const softmax::Args& a, const softmax::Rows& rows, float* weights, const softmax::Slots& slots) {
  const Dropout dropout(a.dropout_key, a.dropout);
  const int64_t s0 = slots.first / a.Hkv - rows.b * a.S;
  softmax::for_each_row(a, rows, [&](int64_t i, int64_t query, int64_t row) HWY_ATTR {
    const int64_t t = query - rows.b * a.T, h = row % a.H;
    float* own = weights + i * softmax::kKeys;
    drop(dropout, ((rows.b * a.H + h) * a.T + t) * a.S + s0, slots.count, own, own);
  });
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::lanes
HWY_AFTER_NAMESPACE();

#endif  // REBASED_CORES_SOFTMAX_DROPOUT_INL_H_
