#include "kernels/packed_linear.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <type_traits>

#include "base/dtype.h"
#include "base/threads.h"
#include "kernels/cpu/linear_plan.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/packed_linear.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/cpu/linear_tile-inl.h"

#ifndef REBASED_KERNELS_CPU_PACKED_LINEAR_ARGS
#define REBASED_KERNELS_CPU_PACKED_LINEAR_ARGS
namespace rebased::kernels::cpu {
namespace {

struct PackedArgs {
  int64_t N;
  const float* x;
  PackedMatrix w;
  const float* bias;
  float* y;
  const float* ordered;  // one row of x in the order of the nibbles, zeros behind, and
  const float* shifts;   // -8 times its sum over each word; both for kI4 and N 1 only
  float* widened;        // a thread's weights of some outputs
};

// Weights of four bits are read 16 words of 32 bits at a time: word l holds eight weights of one group, from its lowest
// bits up. ordered[block, j, l] is the element that meets nibble j of word l.
constexpr int64_t kWords = 16;
constexpr int64_t kNibbles = 8;
constexpr int64_t kBlockWeights = kWords * kNibbles;
constexpr int64_t kBlockGroups = kBlockWeights / kPackedGroup;
constexpr int64_t kBlockBytes = kBlockWeights / 2;
constexpr int64_t kMostOutputs = 4;
constexpr int64_t kBlock = int64_t{1} << 20;  // weights widened for one call of BLAS

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT
using linear_tile::kOutputs;

// A row of numbers of type T: lanes from element i, or the first n of them with zeros behind.
template <class T>
struct NumberRow {
  using Numbers = hn::Rebind<T, Tag>;
  const T* q;
  float scale;

  HWY_INLINE Vec load(int64_t i) const { return widen(hn::LoadU(Numbers(), q + i)); }
  HWY_INLINE Vec load_first(int64_t i, int64_t n) const {
    HWY_ALIGN T buffer[kMaxLanes] = {};
    std::memcpy(buffer, q + i, static_cast<size_t>(n) * sizeof(T));
    return widen(hn::Load(Numbers(), buffer));
  }

 private:
  static HWY_INLINE Vec widen(hn::Vec<Numbers> v) {
    const Tag d;
    if constexpr (sizeof(T) == 1) {
      return hn::ConvertTo(d, hn::PromoteTo(IntTag(), v));
    } else {  // bfloat16: the upper half of a float
      return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(hn::Rebind<uint32_t, Tag>(), v)));
    }
  }
};

template <class T>
HWY_INLINE NumberRow<T> number_row(const PackedMatrix& w, int64_t o) {
  const float scale = w.scales != nullptr ? static_cast<const float*>(w.scales)[o] : 1.0f;
  return {static_cast<const T*>(w.data) + o * w.I, scale};
}

struct GroupRow {
  const uint8_t* q;
  const uint16_t* scales;
};

HWY_INLINE GroupRow group_row(const PackedMatrix& w, int64_t o) {
  const int64_t groups = packed_groups(w.I);
  return {static_cast<const uint8_t*>(w.data) + o * groups * kPackedGroupBytes,
          static_cast<const uint16_t*>(w.scales) + o * groups};
}

// --- one row of x: output by output, so that the weights are one stream of memory; the sum in kParts parts ---

constexpr int kParts = 4;

// Asks for the kBytes that lie kAhead bytes behind p, line by line: with so few bytes a multiplication,
// one core's own prefetching does not fill the memory's bandwidth.
constexpr int64_t kAhead = 4096;

template <int64_t kBytes>
HWY_INLINE void fetch_ahead(const void* p) {
  const char* bytes = static_cast<const char*>(p) + kAhead;
  HWY_UNROLL(4)
  for (int64_t i = 0; i < kBytes; i += 64) hwy::Prefetch(bytes + i);
}

HWY_INLINE float sum_parts(const Vec (&parts)[kParts]) {
  return sum_lanes(hn::Add(hn::Add(parts[0], parts[1]), hn::Add(parts[2], parts[3])));
}

template <class T>
HWY_INLINE float dot_numbers(const PackedArgs& a, int64_t o) {
  const Tag d;
  const int64_t L = lane_count();
  const NumberRow<T> row = number_row<T>(a.w, o);
  Vec parts[kParts] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  int64_t i = 0;
  for (; i + kParts * L <= a.w.I; i += kParts * L) {
    fetch_ahead<kParts * kMaxLanes * sizeof(T)>(row.q + i);
    HWY_UNROLL(4)
    for (int p = 0; p < kParts; ++p) {
      parts[p] = hn::MulAdd(hn::LoadU(d, a.x + i + p * L), row.load(i + p * L), parts[p]);
    }
  }
  for (; i + L <= a.w.I; i += L) parts[0] = hn::MulAdd(hn::LoadU(d, a.x + i), row.load(i), parts[0]);
  if (const int64_t n = a.w.I - i; n > 0) {
    parts[1] = hn::MulAdd(load_first(d, a.x + i, n), row.load_first(i, n), parts[1]);
  }
  return row.scale * sum_parts(parts);
}

#if HWY_TARGET <= HWY_AVX3
// q - 8 for the lowest four bits q of each word: a table in one register, which looks at no other bits.
HWY_INLINE Vec lowest_nibbles(hn::Vec<IntTag> words, Vec table) {
  return Vec{_mm512_permutexvar_ps(words.raw, table.raw)};
}

// The scales of so many blocks, one a lane, zeros behind.
template <int kBlocks>
HWY_INLINE Vec block_scales(const uint16_t* scales) {
  const NumberRow<uint16_t> packed{scales, 1};
  if constexpr (kBlocks == 4) return packed.load(0);
  if constexpr (kBlocks == 1) return packed.load_first(0, kBlockGroups);
  const hn::Half<Tag> half;
  const auto wide =
      hn::PromoteTo(hn::Rebind<uint32_t, decltype(half)>(), hn::LoadU(hn::Rebind<uint16_t, decltype(half)>(), scales));
  return hn::ZeroExtendVector(Tag(), hn::BitCast(half, hn::ShiftLeft<16>(wide)));
}

template <int kBlocks>
HWY_INLINE void add_blocks(const GroupRow& row, const float* ordered, const float* /*shifts*/, Vec& sum) {
  const Tag d;
  const IntTag di;
  const Vec table = hn::Sub(hn::Iota(d, 0.0f), hn::Set(d, 8.0f));
  const Vec scales = block_scales<kBlocks>(row.scales);
  HWY_UNROLL(4)
  for (int b = 0; b < kBlocks; ++b) {
    const auto words = hn::LoadU(di, reinterpret_cast<const int32_t*>(row.q + b * kBlockBytes));
    const float* x = ordered + b * kBlockWeights;
    Vec parts[2] = {hn::Zero(d), hn::Zero(d)};
    HWY_UNROLL(8)
    for (int j = 0; j < kNibbles; ++j) {
      const Vec weights = lowest_nibbles(hn::ShiftRightSame(words, 4 * j), table);
      parts[j % 2] = hn::MulAdd(weights, hn::LoadU(d, x + j * kWords), parts[j % 2]);
    }
    const auto group = hn::Add(hn::ShiftRight<2>(hn::Iota(di, 0)), hn::Set(di, b * static_cast<int>(kBlockGroups)));
    const Vec scale = Vec{_mm512_permutexvar_ps(group.raw, scales.raw)};
    sum = hn::MulAdd(scale, hn::Add(parts[0], parts[1]), sum);
  }
}
#else
template <int kBlocks>
HWY_INLINE void add_blocks(const GroupRow& row, const float* ordered, const float* shifts, Vec& sum) {
  const Tag d;
  const IntTag di;
  const auto mask = hn::Set(di, 15);
  for (int64_t b = 0; b < kBlocks; ++b) {
    HWY_ALIGN float scales[kWords];
    for (int64_t l = 0; l < kWords; ++l) scales[l] = bf16_to_f32(row.scales[b * kBlockGroups + l / 4]);
    for (int64_t l = 0; l < kWords; l += lane_count()) {
      const auto words = hn::LoadU(di, reinterpret_cast<const int32_t*>(row.q + b * kBlockBytes) + l);
      Vec part = hn::LoadU(d, shifts + b * kWords + l);
      for (int j = 0; j < kNibbles; ++j) {
        const Vec q = hn::ConvertTo(d, hn::And(hn::ShiftRightSame(words, 4 * j), mask));
        part = hn::MulAdd(q, hn::LoadU(d, ordered + b * kBlockWeights + j * kWords + l), part);
      }
      sum = hn::MulAdd(hn::Load(d, scales + l), part, sum);
    }
  }
}
#endif

// sum of scale (q - 8) x over the groups.
HWY_INLINE float dot_groups(const PackedArgs& a, int64_t o) {
  const GroupRow row = group_row(a.w, o);
  const int64_t groups = packed_groups(a.w.I);
  Vec sum = hn::Zero(Tag());
  int64_t block = 0;
  const auto add = [&](auto blocks) HWY_ATTR {
    const GroupRow at{row.q + block * kBlockBytes, row.scales + block * kBlockGroups};
    fetch_ahead<blocks * kBlockBytes>(at.q);
    add_blocks<blocks>(at, a.ordered + block * kBlockWeights, a.shifts + block * kWords, sum);
    block += blocks;
  };
  while ((block + 4) * kBlockGroups <= groups) add(std::integral_constant<int, 4>());
  if ((block + 2) * kBlockGroups <= groups) add(std::integral_constant<int, 2>());
  if ((block + 1) * kBlockGroups <= groups) add(std::integral_constant<int, 1>());
  if (const int64_t left = groups - block * kBlockGroups; left > 0) {
    HWY_ALIGN uint8_t bytes[kBlockBytes] = {};
    uint16_t scales[kBlockGroups] = {};
    std::copy_n(row.q + block * kBlockBytes, left * kPackedGroupBytes, bytes);
    std::copy_n(row.scales + block * kBlockGroups, left, scales);
    add_blocks<1>({bytes, scales}, a.ordered + block * kBlockWeights, a.shifts + block * kWords, sum);
  }
  return sum_lanes(sum);
}

void stream_one(const PackedArgs& a, int64_t begin, int64_t end) {
  for (int64_t o = begin; o < end; ++o) {
    const float dot = a.w.packing == Packing::kBF16 ? dot_numbers<uint16_t>(a, o)
                      : a.w.packing == Packing::kI8 ? dot_numbers<int8_t>(a, o)
                                                    : dot_groups(a, o);
    a.y[o] = dot + (a.bias ? a.bias[o] : 0.0f);
  }
}

// --- several rows: outputs [begin, end) are widened, a few at a time ---

template <class T>
HWY_INLINE void widen_numbers(const PackedMatrix& m, int64_t o, float* w) {
  const NumberRow<T> row = number_row<T>(m, o);
  const Vec scale = hn::Set(Tag(), row.scale);
  int64_t i = 0;
  for (; i + lane_count() <= m.I; i += lane_count()) hn::StoreU(hn::Mul(row.load(i), scale), Tag(), w + i);
  if (i < m.I) store_first(Tag(), hn::Mul(row.load_first(i, m.I - i), scale), w + i, m.I - i);
}

HWY_INLINE void widen_group(const uint8_t* q, float scale, float* w) {
  const Tag d;
  const Vec factor = hn::Set(d, scale), shift = hn::Set(d, -8 * scale);
  for (int64_t j = 0; j < kPackedGroupBytes; j += lane_count()) {
    const auto both = hn::PromoteTo(IntTag(), hn::LoadU(hn::Rebind<uint8_t, Tag>(), q + j));
    const auto low = hn::And(both, hn::Set(IntTag(), 15)), high = hn::ShiftRight<4>(both);
    hn::StoreInterleaved2(hn::MulAdd(hn::ConvertTo(d, low), factor, shift),
                          hn::MulAdd(hn::ConvertTo(d, high), factor, shift), d, w + 2 * j);
  }
}

HWY_INLINE void widen_groups(const PackedMatrix& m, int64_t o, float* w) {
  const GroupRow row = group_row(m, o);
  for (int64_t i = 0; i < m.I; i += kPackedGroup) {
    const float scale = bf16_to_f32(row.scales[i / kPackedGroup]);
    const uint8_t* q = row.q + i / 2;
    if (m.I - i >= kPackedGroup) {
      widen_group(q, scale, w + i);
    } else {
      float last[kPackedGroup];
      widen_group(q, scale, last);
      std::copy_n(last, m.I - i, w + i);
    }
  }
}

void widen_rows(const PackedMatrix& m, int64_t first, int64_t count, float* w) {
  for (int64_t o = first; o < first + count; ++o, w += m.I) {
    if (m.packing == Packing::kBF16) {
      widen_numbers<uint16_t>(m, o, w);
    } else if (m.packing == Packing::kI8) {
      widen_numbers<int8_t>(m, o, w);
    } else {
      widen_groups(m, o, w);
    }
  }
}

void stream_some(const PackedArgs& a, int64_t begin, int64_t end) {
  for (int64_t o = begin; o < end;) {
    const int64_t count = end - o >= kOutputs ? kOutputs : 1;
    widen_rows(a.w, o, count, a.widened);
    const linear_tile::Tile tile{a.N, a.w.I, a.w.O, a.x, a.widened, a.bias ? a.bias + o : nullptr, a.y + o};
    count == 1 ? linear_tile::all_rows<1>(tile) : linear_tile::all_rows<kOutputs>(tile);
    o += count;
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(stream_one);
HWY_EXPORT(stream_some);
HWY_EXPORT(widen_rows);

int64_t rows_a_block(const PackedMatrix& w) {
  return std::clamp<int64_t>(kBlock / std::max<int64_t>(1, w.I), 1, std::max<int64_t>(1, w.O));
}

void by_blas(const PackedArgs& a) {
  const int64_t block = rows_a_block(a.w);
  for (int64_t o = 0; o < a.w.O; o += block) {
    const int64_t count = std::min(block, a.w.O - o);
    auto widen = [&](int64_t begin, int64_t end) {
      unpack_rows(a.w, o + begin, end - begin, a.widened + begin * a.w.I);
    };
    parallel_for(count, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, a.w.I)), std::ref(widen));
    linear_blas(a.N, a.w.I, count, a.x, a.widened, a.bias ? a.bias + o : nullptr, a.y + o, a.w.O);
  }
}

void order_x(PackedArgs& args, Scratch& memory) {
  const int64_t I = args.w.I, all = round_up(I, kBlockWeights);
  float *ordered = memory.take(all), *shifts = memory.take(all / kNibbles);
  for (int64_t word = 0; word < all / kNibbles; ++word) {
    float* to = ordered + word / kWords * kBlockWeights + word % kWords;
    float sum = 0;
    for (int64_t j = 0; j < kNibbles; ++j) {
      const int64_t i = word * kNibbles + j;
      to[j * kWords] = i < I ? args.x[i] : 0.0f;
      sum += to[j * kWords];
    }
    shifts[word] = -8 * sum;
  }
  args.ordered = ordered;
  args.shifts = shifts;
}

}  // namespace

void unpack_rows(const PackedMatrix& matrix, int64_t first, int64_t count, float* w) noexcept {
  HWY_DYNAMIC_DISPATCH(widen_rows)(matrix, first, count, w);
}

int64_t packed_linear_scratch(int64_t N, const PackedMatrix& w) noexcept {
  if (N == 1) return 2 * Scratch::kAlign + round_up(w.I, kBlockWeights) * (kNibbles + 1) / kNibbles;
  if (N <= kStreamedRows) return Scratch::kAlign + thread_count() * round_up(kMostOutputs * w.I, Scratch::kAlign);
  return Scratch::kAlign + rows_a_block(w) * w.I;
}

void packed_linear(int64_t N, const float* x, const PackedMatrix& w, const float* bias, float* y,
                   float* scratch) noexcept {
  if (N <= 0 || w.O <= 0) return;
  Scratch memory(scratch);
  PackedArgs args{N, x, w, bias, y, nullptr, nullptr, nullptr};
  const int64_t grain = std::max<int64_t>(kMostOutputs, 32768 / std::max<int64_t>(1, w.I * N));
  if (N == 1) {
    if (w.packing == Packing::kI4) order_x(args, memory);
    auto body = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(stream_one)(args, begin, end); };
    return parallel_for(w.O, grain, std::ref(body));
  }
  if (N > kStreamedRows) {
    args.widened = memory.take(rows_a_block(w) * w.I);
    return by_blas(args);
  }
  const int64_t own = round_up(kMostOutputs * w.I, Scratch::kAlign);
  float* widened = memory.take(thread_count() * own);
  auto body = [&](int64_t begin, int64_t end) {
    PackedArgs mine = args;
    mine.widened = widened + thread_index() * own;
    HWY_DYNAMIC_DISPATCH(stream_some)(mine, begin, end);
  };
  parallel_for(w.O, grain, std::ref(body));
}

}  // namespace rebased::kernels::cpu
#endif
