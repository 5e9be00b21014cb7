#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "kernels/packed_linear.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pack.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::HWY_NAMESPACE {
namespace {

using namespace cpu::HWY_NAMESPACE::lanes;  // NOLINT

// Numbers of fewer bits behind the last whole vector of a row.
template <class Numbers, class T>
HWY_INLINE void store_numbers(hn::Vec<Numbers> v, T* to, int64_t n) {
  if (n >= lane_count()) return hn::StoreU(v, Numbers(), to);
  HWY_ALIGN T buffer[kMaxLanes];
  hn::Store(v, Numbers(), buffer);
  std::copy_n(buffer, n, to);
}

// Smallest and largest of the row and 0; both 0 when an element is not finite.
struct Range {
  float low, high;
};

HWY_INLINE Range range_of(const float* w, int64_t n) {
  const Tag d;
  Vec low = hn::Zero(d), high = hn::Zero(d), strange = hn::Zero(d);
  for_each_vector(n, [&](int64_t i, auto at) HWY_ATTR {
    const Vec v = at.load(w + i);
    low = hn::Min(low, v);
    high = hn::Max(high, v);
    strange = hn::MulAdd(v, hn::Zero(d), strange);  // NaN from infinity and NaN
  });
  if (std::isnan(sum_lanes(strange))) return {0, 0};
  return {hn::GetLane(hn::MinOfLanes(d, low)), max_lanes(high)};
}

void pack_row_bf16(int64_t I, const float* w, uint16_t* q) {
  const hn::Rebind<uint32_t, Tag> du;
  for_each_vector(I, [&](int64_t i, auto at) HWY_ATTR {
    const Vec v = at.load(w + i);
    const auto bits = hn::BitCast(du, v), upper = hn::ShiftRight<16>(bits);
    const auto odd = hn::And(upper, hn::Set(du, 1));
    const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fff))));
    const auto quiet = hn::Or(upper, hn::Set(du, 0x40));  // NaN stays NaN
    const auto bf16 = hn::IfThenElse(hn::RebindMask(du, hn::IsNaN(v)), quiet, rounded);
    using Numbers = hn::Rebind<uint16_t, Tag>;
    store_numbers<Numbers>(hn::DemoteTo(Numbers(), hn::BitCast(IntTag(), bf16)), q + i, I - i);
  });
}

void pack_row_i8(int64_t I, const float* w, int8_t* q, float* scale) {
  const Range range = range_of(w, I);
  *scale = std::max(-range.low, range.high) / 127;
  if (*scale <= 0) return void(std::fill_n(q, I, int8_t{0}));
  const Vec step = hn::Set(Tag(), *scale);
  const auto most = hn::Set(IntTag(), 127);
  for_each_vector(I, [&](int64_t i, auto at) HWY_ATTR {
    const auto whole = hn::NearestInt(hn::Div(at.load(w + i), step));
    using Numbers = hn::Rebind<int8_t, Tag>;
    store_numbers<Numbers>(hn::DemoteTo(Numbers(), hn::Max(hn::Min(whole, most), hn::Neg(most))), q + i, I - i);
  });
}

// A whole group: q in order, a byte each.
void round_group_i4(const float* w, uint8_t* q, uint16_t* scale) {
  const Tag d;
  const Range range = range_of(w, kPackedGroup);
  *scale = f32_to_bf16((range.high > -range.low ? -range.high : -range.low) / 8);
  const float step = bf16_to_f32(*scale);
  if (step == 0) return void(std::fill_n(q, kPackedGroup, uint8_t{8}));
  const auto eight = hn::Set(IntTag(), 8), seven = hn::Set(IntTag(), 7);
  for (int64_t j = 0; j < kPackedGroup; j += lane_count()) {
    const auto whole = hn::NearestInt(hn::Div(hn::LoadU(d, w + j), hn::Set(d, step)));
    using Numbers = hn::Rebind<uint8_t, Tag>;
    const auto numbers = hn::Add(hn::Max(hn::Min(whole, seven), hn::Neg(eight)), eight);
    hn::StoreU(hn::DemoteTo(Numbers(), numbers), Numbers(), q + j);
  }
}

// The words of a row in its group: eight numbers each, kPackedTile words apart.
void store_words_i4(const uint8_t* q, uint8_t* words) {
  for (int64_t v = 0; v < kPackedGroup / 8; ++v) {
    uint32_t low, high;
    std::memcpy(&low, q + 8 * v, 4);
    std::memcpy(&high, q + 8 * v + 4, 4);
    const uint32_t word = low | high << 4;
    std::memcpy(words + 4 * kPackedTile * v, &word, 4);
  }
}

// One row; q, scales: its places in the first group of its tile.
void pack_row_i4(int64_t I, const float* w, uint8_t* q, uint16_t* scales) {
  for (int64_t i = 0; i < I; i += kPackedGroup, q += kPackedTile * kPackedGroup / 2, scales += kPackedTile) {
    float last[kPackedGroup] = {};
    const float* group = w + i;
    if (I - i < kPackedGroup) group = std::copy_n(w + i, I - i, last) - (I - i);
    uint8_t numbers[kPackedGroup];
    round_group_i4(group, numbers, scales);
    store_words_i4(numbers, q);
  }
}

void pack_rows_i4(int64_t O, int64_t I, const float* w, uint8_t* q, uint16_t* scales) {
  const int64_t tile_scales = packed_groups(I) * kPackedTile, tile_bytes = tile_scales * kPackedGroup / 2;
  if (const int64_t full = O / kPackedTile; full < packed_tiles(O)) {
    std::fill_n(q + full * tile_bytes, tile_bytes, uint8_t{0});
    std::fill_n(scales + full * tile_scales, tile_scales, uint16_t{0});
  }
  for (int64_t o = 0; o < O; ++o, w += I) {
    const int64_t tile = o / kPackedTile, row = o % kPackedTile;
    pack_row_i4(I, w, q + tile * tile_bytes + 4 * row, scales + tile * tile_scales + row);
  }
}

void pack_rows(const PackedMatrix& m, const float* w, void* data, void* scales) {
  if (m.packing == Packing::kI4) {
    return pack_rows_i4(m.O, m.I, w, static_cast<uint8_t*>(data), static_cast<uint16_t*>(scales));
  }
  for (int64_t o = 0; o < m.O; ++o, w += m.I) {
    if (m.packing == Packing::kBF16) {
      pack_row_bf16(m.I, w, static_cast<uint16_t*>(data) + o * m.I);
    } else {
      pack_row_i8(m.I, w, static_cast<int8_t*>(data) + o * m.I, static_cast<float*>(scales) + o);
    }
  }
}

}  // namespace
}  // namespace rebased::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels {
namespace {

HWY_EXPORT(pack_rows);

}  // namespace

void pack(Packing packing, int64_t O, int64_t I, const float* w, void* data, void* scales) noexcept {
  HWY_DYNAMIC_DISPATCH(pack_rows)({packing, O, I, nullptr, nullptr}, w, data, scales);
}

}  // namespace rebased::kernels
#endif
