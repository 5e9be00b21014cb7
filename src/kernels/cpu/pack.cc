#include <algorithm>
#include <cmath>

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

// A whole group.
void pack_group_i4(const float* w, uint8_t* q, uint16_t* scale) {
  const Tag d;
  const Range range = range_of(w, kPackedGroup);
  *scale = f32_to_bf16((range.high > -range.low ? -range.high : -range.low) / 8);
  const float step = bf16_to_f32(*scale);
  const auto eight = hn::Set(IntTag(), 8), seven = hn::Set(IntTag(), 7);
  auto nibbles = [&](Vec v) HWY_ATTR {
    if (step == 0) return eight;
    const auto whole = hn::NearestInt(hn::Div(v, hn::Set(d, step)));
    return hn::Add(hn::Max(hn::Min(whole, seven), hn::Neg(eight)), eight);
  };
  for (int64_t j = 0; j < kPackedGroupBytes; j += lane_count()) {
    Vec even, odd;
    hn::LoadInterleaved2(d, w + 2 * j, even, odd);
    const auto both = hn::Or(nibbles(even), hn::ShiftLeft<4>(nibbles(odd)));
    hn::StoreU(hn::DemoteTo(hn::Rebind<uint8_t, Tag>(), both), hn::Rebind<uint8_t, Tag>(), q + j);
  }
}

void pack_row_i4(int64_t I, const float* w, uint8_t* q, uint16_t* scales) {
  int64_t i = 0;
  for (; i + kPackedGroup <= I; i += kPackedGroup) pack_group_i4(w + i, q + i / 2, scales + i / kPackedGroup);
  if (i == I) return;
  float last[kPackedGroup] = {};
  std::copy_n(w + i, I - i, last);
  pack_group_i4(last, q + i / 2, scales + i / kPackedGroup);
}

void pack_rows(const PackedMatrix& m, const float* w, void* data, void* scales) {
  const int64_t groups = packed_groups(m.I);
  for (int64_t o = 0; o < m.O; ++o, w += m.I) {
    switch (m.packing) {
      case Packing::kBF16:
        pack_row_bf16(m.I, w, static_cast<uint16_t*>(data) + o * m.I);
        break;
      case Packing::kI8:
        pack_row_i8(m.I, w, static_cast<int8_t*>(data) + o * m.I, static_cast<float*>(scales) + o);
        break;
      case Packing::kI4:
        pack_row_i4(m.I, w, static_cast<uint8_t*>(data) + o * groups * kPackedGroupBytes,
                    static_cast<uint16_t*>(scales) + o * groups);
        break;
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

int64_t packed_row_bytes(Packing packing, int64_t I) noexcept {
  if (packing == Packing::kBF16) return 2 * I;
  return packing == Packing::kI8 ? I : packed_groups(I) * kPackedGroupBytes;
}

int64_t packed_scale_bytes(Packing packing, int64_t I) noexcept {
  if (packing == Packing::kBF16) return 0;
  return packing == Packing::kI8 ? 4 : 2 * packed_groups(I);
}

void pack(Packing packing, int64_t O, int64_t I, const float* w, void* data, void* scales) noexcept {
  HWY_DYNAMIC_DISPATCH(pack_rows)({packing, O, I, nullptr, nullptr}, w, data, scales);
}

}  // namespace rebased::kernels
#endif
