#include "kernels/cpu/packed_int4.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "base/threads.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/packed_int4.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"

#ifndef REBASED_KERNELS_CPU_PACKED_INT4_ARGS
#define REBASED_KERNELS_CPU_PACKED_INT4_ARGS
namespace rebased::kernels::cpu {
namespace {

struct Int4Args {
  int64_t N, O, I, groups;
  const float* x;
  const uint8_t* data;
  const uint16_t* scales;
  const float* bias;
  float* y;
  int8_t* bytes;    // [N, groups, 32]: x in bytes, zeros behind its rows; and for each group
  float* x_scales;  // [N, groups] of what a byte counts
  int32_t* shifts;  // [N, groups] -8 times the sum of its bytes
};

constexpr int64_t kTileGroupBytes = kPackedTile * kPackedGroup / 2;
constexpr int kVectors = 4;       // of 16 words of eight weights in the group of a tile
constexpr int64_t kLine = 64;     // bytes of a cache line
constexpr int64_t kAhead = 4096;  // bytes: one core's own prefetching does not fill the memory's bandwidth

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT
using Ints = hn::Vec<IntTag>;

// --- x in bytes ---

// A whole group of x; see reference::round_to_bytes. One that is not finite has bytes 0 and scale NaN.
void round_group(const float* x, int8_t* bytes, float* scale, int32_t* shift) {
  const Tag d;
  const IntTag di;
  Vec largest = hn::Zero(d), strange = hn::Zero(d);
  for (int64_t i = 0; i < kPackedGroup; i += lane_count()) {
    const Vec v = hn::LoadU(d, x + i);
    largest = hn::Max(largest, hn::Abs(v));
    strange = hn::MulAdd(v, hn::Zero(d), strange);  // NaN from infinity and NaN
  }
  *scale = sum_lanes(strange) + max_lanes(largest) / 127;
  *shift = 0;
  if (!(*scale > 0)) return void(std::fill_n(bytes, kPackedGroup, int8_t{0}));
  const Vec step = hn::Set(d, *scale);
  const Ints most = hn::Set(di, 127);
  Ints sum = hn::Zero(di);
  for (int64_t i = 0; i < kPackedGroup; i += lane_count()) {
    const Ints whole = hn::NearestInt(hn::Div(hn::LoadU(d, x + i), step));
    const Ints q = hn::Max(hn::Min(whole, most), hn::Neg(most));
    using Numbers = hn::Rebind<int8_t, Tag>;
    hn::StoreU(hn::DemoteTo(Numbers(), q), Numbers(), bytes + i);
    sum = hn::Add(sum, q);
  }
  *shift = -8 * hn::GetLane(hn::SumOfLanes(di, sum));
}

// Groups [begin, end) of all rows.
void round_groups(const Int4Args& a, int64_t begin, int64_t end) {
  for (int64_t g = begin; g < end; ++g) {
    const int64_t i = g % a.groups * kPackedGroup, left = a.I - i;
    const float* x = a.x + g / a.groups * a.I + i;
    float last[kPackedGroup] = {};
    if (left < kPackedGroup) x = std::copy_n(x, left, last) - left;
    round_group(x, a.bytes + g * kPackedGroup, a.x_scales + g, a.shifts + g);
  }
}

// --- products: one output a 32-bit lane, so that no sum crosses lanes ---

// Sums of products of bytes in each word: where there is an instruction for pairs of products, of the lower two and of
// the upper two, which in a group have 16 products of at most 15 x 127 each; else of all four.
#if HWY_TARGET <= HWY_AVX3
HWY_INLINE Ints add_products(Ints sums, Ints w, Ints x) {
  return Ints{_mm512_add_epi16(sums.raw, _mm512_maddubs_epi16(w.raw, x.raw))};
}
HWY_INLINE Ints word_sums(Ints sums) { return Ints{_mm512_madd_epi16(sums.raw, _mm512_set1_epi16(1))}; }
#elif HWY_TARGET <= HWY_AVX2
HWY_INLINE Ints add_products(Ints sums, Ints w, Ints x) {
  return Ints{_mm256_add_epi16(sums.raw, _mm256_maddubs_epi16(w.raw, x.raw))};
}
HWY_INLINE Ints word_sums(Ints sums) { return Ints{_mm256_madd_epi16(sums.raw, _mm256_set1_epi16(1))}; }
#else
HWY_INLINE Ints add_products(Ints sums, Ints w, Ints x) {
  const Ints byte = hn::Set(IntTag(), 255);
  for (int shift = 0; shift < 32; shift += 8) {
    const Ints signed_byte = hn::ShiftRight<24>(hn::ShiftLeftSame(x, 24 - shift));
    sums = hn::Add(sums, hn::Mul(hn::And(hn::ShiftRightSame(w, shift), byte), signed_byte));
  }
  return sums;
}
HWY_INLINE Ints word_sums(Ints sums) { return sums; }
#endif

// sum of q x over a group.
HWY_INLINE Ints group_sum(const Ints (&weights)[2 * kVectors], const int8_t* x) {
  Ints sums = hn::Zero(IntTag());
  HWY_UNROLL(8)
  for (int k = 0; k < 2 * kVectors; ++k) {
    int32_t four_bytes;
    std::memcpy(&four_bytes, x + 4 * k, sizeof(four_bytes));
    sums = add_products(sums, weights[k], hn::Set(IntTag(), four_bytes));
  }
  return word_sums(sums);
}

// The words of some rows of a group, from `data` on: weights 4k to 4k + 3 in the bytes of vector k.
HWY_INLINE void load_group(const uint8_t* data, Ints (&weights)[2 * kVectors]) {
  const IntTag d;
  const Ints low = hn::Set(d, 0x0f0f0f0f);
  HWY_UNROLL(4)
  for (int v = 0; v < kVectors; ++v) {
    const Ints both = hn::LoadU(d, reinterpret_cast<const int32_t*>(data + v * kPackedTile * 4));
    weights[2 * v] = hn::And(both, low);
    weights[2 * v + 1] = hn::And(hn::ShiftRight<4>(both), low);
  }
}

HWY_INLINE Vec load_scales(const uint16_t* scales) {
  const auto wide = hn::PromoteTo(hn::Rebind<uint32_t, Tag>(), hn::LoadU(hn::Rebind<uint16_t, Tag>(), scales));
  return hn::BitCast(Tag(), hn::ShiftLeft<16>(wide));
}

HWY_INLINE void fetch_ahead(const uint8_t* data, const uint16_t* scales) {
  HWY_UNROLL(4)
  for (int64_t line = 0; line < kTileGroupBytes / kLine; ++line) hwy::Prefetch(data + kAhead + line * kLine);
  hwy::Prefetch(scales + kAhead / sizeof(uint16_t));
}

// Outputs o .. of y's row n; o's lane of a vector may be the last.
HWY_INLINE void store_outputs(const Int4Args& a, int64_t n, int64_t o, Vec sum) {
  const Tag d;
  float* y = a.y + n * a.O + o;
  const int64_t left = a.O - o;
  if (left >= lane_count()) return hn::StoreU(a.bias ? hn::Add(sum, hn::LoadU(d, a.bias + o)) : sum, d, y);
  if (left > 0) store_first(d, a.bias ? hn::Add(sum, load_first(d, a.bias + o, left)) : sum, y, left);
}

// Rows n .. n + kRows - 1 of x with the rows of a tile.
template <int kRows>
HWY_INLINE void tile_rows(const Int4Args& a, int64_t tile, int64_t n) {
  const Tag d;
  for (int64_t l = 0; l < kPackedTile; l += lane_count()) {
    Vec sums[kRows];
    for (Vec& sum : sums) sum = hn::Zero(d);
    for (int64_t g = 0; g < a.groups; ++g) {
      const int64_t group = tile * a.groups + g;
      const uint8_t* data = a.data + group * kTileGroupBytes;
      const uint16_t* scales = a.scales + group * kPackedTile + l;
      if (n == 0) fetch_ahead(data, scales);
      Ints weights[2 * kVectors];
      load_group(data + 4 * l, weights);
      const Vec w_scale = load_scales(scales);
      HWY_UNROLL(8)
      for (int r = 0; r < kRows; ++r) {
        const int64_t at = (n + r) * a.groups + g;
        const Ints dot = hn::Add(group_sum(weights, a.bytes + at * kPackedGroup), hn::Set(IntTag(), a.shifts[at]));
        sums[r] = hn::MulAdd(hn::Mul(hn::ConvertTo(d, dot), hn::Set(d, a.x_scales[at])), w_scale, sums[r]);
      }
    }
    for (int r = 0; r < kRows; ++r) store_outputs(a, n + r, tile * kPackedTile + l, sums[r]);
  }
}

void tiles(const Int4Args& a, int64_t begin, int64_t end) {
  for (int64_t tile = begin; tile < end; ++tile) {
    int64_t n = 0;
    for (; n + 8 <= a.N; n += 8) tile_rows<8>(a, tile, n);
    for (; n + 4 <= a.N; n += 4) tile_rows<4>(a, tile, n);
    for (; n < a.N; ++n) tile_rows<1>(a, tile, n);
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(round_groups);
HWY_EXPORT(tiles);

constexpr int64_t kGrain = 32768;  // multiplications worth a thread

}  // namespace

int64_t int4_linear_scratch(int64_t N, int64_t I) noexcept {
  const int64_t groups = N * packed_groups(I);
  Scratch count(nullptr);
  count.take(groups * kPackedGroup / 4);
  count.take(groups);
  count.take(groups);
  return Scratch::kAlign + count.used();
}

void int4_linear(int64_t N, const float* x, const PackedMatrix& w, const float* bias, float* y,
                 float* scratch) noexcept {
  const int64_t groups = packed_groups(w.I);
  Scratch memory(scratch);
  auto* bytes = reinterpret_cast<int8_t*>(memory.take(N * groups * kPackedGroup / 4));
  float* x_scales = memory.take(N * groups);
  auto* shifts = reinterpret_cast<int32_t*>(memory.take(N * groups));
  const Int4Args args{
      N,    w.O, w.I,   groups,   x,     static_cast<const uint8_t*>(w.data), static_cast<const uint16_t*>(w.scales),
      bias, y,   bytes, x_scales, shifts};
  auto round = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(round_groups)(args, begin, end); };
  parallel_for(N * groups, kGrain / kPackedGroup, std::ref(round));
  auto multiply = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(tiles)(args, begin, end); };
  const int64_t tile_work = std::max<int64_t>(1, N * w.I * kPackedTile);
  parallel_for(packed_tiles(w.O), std::max<int64_t>(1, kGrain / tile_work), std::ref(multiply));
}

}  // namespace rebased::kernels::cpu
#endif
