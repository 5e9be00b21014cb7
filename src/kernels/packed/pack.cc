#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "kernels/packed_linear.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/packed/pack.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

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
    const auto bf16 = hn::ShiftRight<16>(hn::BitCast(du, nearest_bf16(at.load(w + i))));
    using Numbers = hn::Rebind<uint16_t, Tag>;
    store_numbers<Numbers>(hn::DemoteTo(Numbers(), hn::BitCast(IntTag(), bf16)), q + i, I - i);
  });
}

// Eight or four bits of a weight: how a group of a row becomes its words of a tile.

struct Bytes {
  static constexpr int32_t kLeast = -127, kMost = 127, kZero = 128;
  static constexpr int64_t kGroupBytes = kPackedTile * kPackedGroup;
  static void store(const uint8_t* q, uint8_t* words) {
    for (int64_t k = 0; k < kPackedGroup / 4; ++k) std::memcpy(words + 4 * kPackedTile * k, q + 4 * k, 4);
  }
};

struct HalfBytes {
  static constexpr int32_t kLeast = -8, kMost = 7, kZero = 8;
  static constexpr int64_t kGroupBytes = kPackedTile * kPackedGroup / 2;
  static void store(const uint8_t* q, uint8_t* words) {
    for (int64_t v = 0; v < kPackedGroup / 8; ++v) {
      uint32_t low, high;
      std::memcpy(&low, q + 8 * v, 4);
      std::memcpy(&high, q + 8 * v + 4, 4);
      const uint32_t word = low | high << 4;
      std::memcpy(words + 4 * kPackedTile * v, &word, 4);
    }
  }
};

// The words of a group of n <= kPackedGroup weights: whole steps, and zeros behind them.
template <class Bits>
void pack_group(const float* w, int64_t n, float step, uint8_t* words) {
  const Tag d;
  const IntTag di;
  uint8_t q[kPackedGroup];
  std::fill_n(q, kPackedGroup, static_cast<uint8_t>(Bits::kZero));
  if (step != 0) {
    const auto least = hn::Set(di, Bits::kLeast), most = hn::Set(di, Bits::kMost);
    for_each_vector(n, [&](int64_t i, auto at) HWY_ATTR {
      const auto whole = hn::NearestInt(hn::Div(at.load(w + i), hn::Set(d, step)));
      using Numbers = hn::Rebind<uint8_t, Tag>;
      const auto numbers = hn::Add(hn::Max(hn::Min(whole, most), least), hn::Set(di, Bits::kZero));
      store_numbers<Numbers>(hn::DemoteTo(Numbers(), numbers), q + i, n - i);
    });
  }
  Bits::store(q, words);
}

// One row; data: its place in the first group of its tile.
void pack_row_i8(int64_t I, const float* w, uint8_t* data, float* scale) {
  const Range range = range_of(w, I);
  *scale = std::max(-range.low, range.high) / 127;
  for (int64_t i = 0; i < I; i += kPackedGroup, data += Bytes::kGroupBytes) {
    pack_group<Bytes>(w + i, std::min(kPackedGroup, I - i), *scale, data);
  }
}

// One row; data, scales: its places in the first group of its tile.
void pack_row_i4(int64_t I, const float* w, uint8_t* data, uint16_t* scales) {
  for (int64_t i = 0; i < I; i += kPackedGroup, data += HalfBytes::kGroupBytes, scales += kPackedTile) {
    const int64_t n = std::min(kPackedGroup, I - i);
    const Range range = range_of(w + i, n);
    *scales = f32_to_bf16((range.high > -range.low ? -range.high : -range.low) / 8);
    pack_group<HalfBytes>(w + i, n, bf16_to_f32(*scales), data);
  }
}

// Zeros where a last tile has no rows.
void clear_last_tile(const PackedMatrix& m, uint8_t* data, uint8_t* scales) {
  const int64_t full = m.O / kPackedTile * kPackedTile;
  auto clear = [&](uint8_t* p, auto bytes) {
    std::fill(p + bytes(m.packing, full, m.I), p + bytes(m.packing, m.O, m.I), uint8_t{0});
  };
  clear(data, packed_data_bytes);
  clear(scales, packed_scale_bytes);
}

void pack_rows(const PackedMatrix& m, const float* w, void* data, void* scales) {
  if (m.packing != Packing::kBF16) clear_last_tile(m, static_cast<uint8_t*>(data), static_cast<uint8_t*>(scales));
  const int64_t groups = packed_groups(m.I);
  for (int64_t o = 0; o < m.O; ++o, w += m.I) {
    const int64_t first = o / kPackedTile * groups, row = o % kPackedTile;
    auto* bytes = static_cast<uint8_t*>(data) + 4 * row;
    if (m.packing == Packing::kBF16) {
      pack_row_bf16(m.I, w, static_cast<uint16_t*>(data) + o * m.I);
    } else if (m.packing == Packing::kI8) {
      pack_row_i8(m.I, w, bytes + first * Bytes::kGroupBytes, static_cast<float*>(scales) + o);
    } else {
      pack_row_i4(m.I, w, bytes + first * HalfBytes::kGroupBytes,
                  static_cast<uint16_t*>(scales) + first * kPackedTile + row);
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
