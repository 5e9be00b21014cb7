// AVX-512 BF16, of which Highway's targets know nothing; compiled once for each instruction set, empty without AVX-512.

#include <cstdint>

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#if defined(REBASED_KERNELS_BF16_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef REBASED_KERNELS_BF16_LANES_INL_H_
#undef REBASED_KERNELS_BF16_LANES_INL_H_
#else
#define REBASED_KERNELS_BF16_LANES_INL_H_
#endif

#if HWY_TARGET <= HWY_AVX3
HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE::bf16 {

using namespace lanes;  // NOLINT

// A lane holds two numbers, the first one in its low half.
using PairTag = hn::Rebind<uint32_t, Tag>;
using Pairs = hn::Vec<PairTag>;

// a.first b.first + a.second b.second + sum, with at most two roundings, both to nearest.
HWY_INLINE Vec add_products(Pairs a, Pairs b, Vec sum) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
  return sum;
}

// The numbers of two vectors, rounded, one vector's behind the other's.
HWY_INLINE Pairs round_two(Vec first, Vec second) {
  Pairs rounded;
  asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(rounded.raw) : "v"(first.raw), "v"(second.raw));
  return rounded;
}

// Lane i: number i of both vectors.
HWY_INLINE Pairs round_pairs(Vec first, Vec second) {
  HWY_ALIGN static constexpr uint16_t kOrder[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                    8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return Pairs{_mm512_permutexvar_epi16(_mm512_load_si512(kOrder), round_two(first, second).raw)};
}

}  // namespace rebased::kernels::cpu::HWY_NAMESPACE::bf16
HWY_AFTER_NAMESPACE();
#endif

#endif  // REBASED_KERNELS_BF16_LANES_INL_H_
