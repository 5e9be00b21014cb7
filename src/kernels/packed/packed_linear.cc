#include "kernels/packed_linear.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "base/dtype.h"
#include "base/threads.h"
#include "kernels/bf16_product.h"
#include "kernels/dense.h"
#include "kernels/packed/packed_bytes.h"
#include "kernels/packed/packed_numbers.h"
#include "kernels/products/linear_plan.h"
#include "kernels/tools/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/packed/packed_linear.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/products/linear_tile-inl.h"
#include "kernels/products/linear_turned-inl.h"

#ifndef REBASED_KERNELS_PACKED_LINEAR_ARGS
#define REBASED_KERNELS_PACKED_LINEAR_ARGS
namespace rebased::kernels::cpu {
namespace {

struct PackedArgs {
  int64_t N;
  const float* x;
  PackedMatrix w;
  const float* bias;
  float* y;
  const float* turned;  // x, where rows are lanes
  float* widened;       // a thread's weights of some outputs
  float* sums;          // and their sums
};

constexpr int64_t kFewOutputs = 4;            // for a thread, at least
constexpr int64_t kBlock = int64_t{1} << 20;  // weights widened for one call of BLAS

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// Lanes of a row of bfloat16 numbers from element i, or the first n of them with zeros behind.
struct NumberRow {
  using Numbers = hn::Rebind<uint16_t, Tag>;
  const uint16_t* q;

  HWY_INLINE Vec load(int64_t i) const { return widen(hn::LoadU(Numbers(), q + i)); }
  HWY_INLINE Vec load_first(int64_t i, int64_t n) const {
    HWY_ALIGN uint16_t buffer[kMaxLanes] = {};
    std::memcpy(buffer, q + i, static_cast<size_t>(n) * sizeof(uint16_t));
    return widen(hn::Load(Numbers(), buffer));
  }

 private:
  static HWY_INLINE Vec widen(hn::Vec<Numbers> v) {  // a bfloat16 is the upper half of a float
    return hn::BitCast(Tag(), hn::ShiftLeft<16>(hn::PromoteTo(hn::Rebind<uint32_t, Tag>(), v)));
  }
};

HWY_INLINE NumberRow number_row(const PackedMatrix& w, int64_t o) {
  return {static_cast<const uint16_t*>(w.data) + o * w.I};
}

// --- one row of x: output by output, so that the weights are one stream of memory; the sum in kParts parts ---

constexpr int kParts = 4;

// Asks for the kBytes that lie kAhead bytes behind p, line by line: with so few bytes a multiplication,
// one core's own prefetching does not fill the memory's bandwidth. int8, when it had this form, reached 80, 76,
// 96 and 95 % of it with 512, 2048, 4096 and 8192 bytes (docs/tuning.md).
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

HWY_INLINE float dot_numbers(const PackedArgs& a, int64_t o) {
  const Tag d;
  const int64_t L = lane_count();
  const NumberRow row = number_row(a.w, o);
  Vec parts[kParts] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  int64_t i = 0;
  for (; i + kParts * L <= a.w.I; i += kParts * L) {
    fetch_ahead<kParts * kMaxLanes * sizeof(uint16_t)>(row.q + i);
    HWY_UNROLL(4)
    for (int p = 0; p < kParts; ++p) {
      parts[p] = hn::MulAdd(hn::LoadU(d, a.x + i + p * L), row.load(i + p * L), parts[p]);
    }
  }
  for (; i + L <= a.w.I; i += L) parts[0] = hn::MulAdd(hn::LoadU(d, a.x + i), row.load(i), parts[0]);
  if (const int64_t n = a.w.I - i; n > 0) {
    parts[1] = hn::MulAdd(load_first(d, a.x + i, n), row.load_first(i, n), parts[1]);
  }
  return sum_parts(parts);
}

void stream_one(const PackedArgs& a, int64_t begin, int64_t end) {
  for (int64_t o = begin; o < end; ++o) a.y[o] = dot_numbers(a, o) + (a.bias ? a.bias[o] : 0.0f);
}

// --- several rows: outputs [begin, end) are widened, a few at a time ---

HWY_INLINE void widen_numbers(const PackedMatrix& m, int64_t o, float* w) {
  const NumberRow row = number_row(m, o);
  int64_t i = 0;
  for (; i + lane_count() <= m.I; i += lane_count()) hn::StoreU(row.load(i), Tag(), w + i);
  if (i < m.I) store_first(Tag(), row.load_first(i, m.I - i), w + i, m.I - i);
}

// The q of a row in its group, in order, a byte each; words: its first word, the others kPackedTile apart.
HWY_INLINE void order_i8(const uint8_t* words, uint8_t* q) {
  for (int64_t k = 0; k < kPackedGroup / 4; ++k) std::memcpy(q + 4 * k, words + 4 * kPackedTile * k, 4);
}
HWY_INLINE void order_i4(const uint8_t* words, uint8_t* q) {
  for (int64_t v = 0; v < kPackedGroup / 8; ++v, words += 4 * kPackedTile) {
    uint32_t word;
    std::memcpy(&word, words, 4);
    const uint32_t low = word & 0x0f0f0f0f, high = word >> 4 & 0x0f0f0f0f;
    std::memcpy(q + 8 * v, &low, 4);
    std::memcpy(q + 8 * v + 4, &high, 4);
  }
}

// w = scale (q - zero) over a group. Compilers turn the loop into vectors; GCC 12 takes bytes of `q` for others when it
// is loaded by vectors of eight.
HWY_INLINE void widen_group(const uint8_t* q, float scale, int32_t zero, float* w) {
  for (int64_t j = 0; j < kPackedGroup; ++j) w[j] = scale * static_cast<float>(q[j] - zero);
}

// Row o's part of group `group` of the matrix.
HWY_INLINE void widen_group_of(const PackedMatrix& m, int64_t group, int64_t o, float* w) {
  const int64_t row = o % kPackedTile;
  const auto* data = static_cast<const uint8_t*>(m.data);
  uint8_t q[kPackedGroup];
  if (m.packing == Packing::kI8) {
    order_i8(data + group * kPackedTile * kPackedGroup + 4 * row, q);
    return widen_group(q, static_cast<const float*>(m.scales)[o], 128, w);
  }
  order_i4(data + group * kPackedTile * kPackedGroup / 2 + 4 * row, q);
  widen_group(q, bf16_to_f32(static_cast<const uint16_t*>(m.scales)[group * kPackedTile + row]), 8, w);
}

HWY_INLINE void widen_groups(const PackedMatrix& m, int64_t o, float* w) {
  int64_t group = o / kPackedTile * packed_groups(m.I);
  for (int64_t i = 0; i < m.I; i += kPackedGroup, ++group) {
    if (m.I - i >= kPackedGroup) {
      widen_group_of(m, group, o, w + i);
    } else {
      float last[kPackedGroup];
      widen_group_of(m, group, o, last);
      std::copy_n(last, m.I - i, w + i);
    }
  }
}

void widen_rows(const PackedMatrix& m, int64_t first, int64_t count, float* w) {
  for (int64_t o = first; o < first + count; ++o, w += m.I) {
    m.packing == Packing::kBF16 ? widen_numbers(m, o, w) : widen_groups(m, o, w);
  }
}

void order_rows(const PackedArgs& a, float* ordered) { linear_tile::Bfloat16Rows{a.w.I}.order(a.N, a.x, ordered); }

void stream_some(const PackedArgs& a, int64_t begin, int64_t end) {
  using namespace linear_tile;  // NOLINT
  const auto* w = static_cast<const uint16_t*>(a.w.data);
  all_outputs<kOutputs>(Tile<Bfloat16Rows>{a.N, a.w.O, {a.w.I}, a.x, w, a.bias, a.y}, begin, end);
}

void turned_some(const PackedArgs& a, int64_t begin, int64_t end) {
  const int64_t bytes = sizeof(uint16_t);
  for (int64_t o = begin; o < end; o += kTurnedOutputs) {
    const int64_t count = std::min(kTurnedOutputs, end - o);
    widen_rows(a.w, o, count, a.widened);
    const uint16_t* next = number_row(a.w, o + kTurnedOutputs < end ? o + kTurnedOutputs : o).q;
    linear_turned::some_outputs(a.N, a.w.I, a.w.O, a.turned, count, a.widened, a.bias ? a.bias + o : nullptr, a.y + o,
                                a.sums, {next, a.w.I * bytes, bytes});
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(order_rows);
HWY_EXPORT(stream_one);
HWY_EXPORT(stream_some);
HWY_EXPORT(turned_some);
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

void by_lanes(PackedArgs args, float* scratch) {
  Scratch memory(scratch);
  float* turned = memory.take(args.w.I * turned_width(args.N));
  turn_rows(args.N, args.w.I, args.x, turned);
  args.turned = turned;
  const int64_t weights = round_up(kTurnedOutputs * args.w.I, Scratch::kAlign);
  const int64_t own = weights + kTurnedOutputs * turned_width(args.N);
  float* of_threads = memory.take(thread_count() * own);
  auto body = [&](int64_t begin, int64_t end) {
    PackedArgs mine = args;
    mine.widened = of_threads + thread_index() * own;
    mine.sums = mine.widened + weights;
    HWY_DYNAMIC_DISPATCH(turned_some)(mine, begin, end);
  };
  parallel_for(args.w.O, kTurnedOutputs, std::ref(body));
}

void by_streams(PackedArgs args, float* scratch) {
  const int64_t grain = std::max<int64_t>(kFewOutputs, 32768 / std::max<int64_t>(1, args.w.I * args.N));
  if (args.N == 1) {
    auto body = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(stream_one)(args, begin, end); };
    return parallel_for(args.w.O, grain, std::ref(body));
  }
  float* ordered = Scratch(scratch).take(args.N * round_up(args.w.I, kOrdered));
  HWY_DYNAMIC_DISPATCH(order_rows)(args, ordered);
  args.x = ordered;
  auto body = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(stream_some)(args, begin, end); };
  parallel_for(args.w.O, grain, std::ref(body));
}

// Scratch beside x rounded.
int64_t widened_scratch(int64_t N, const PackedMatrix& w) {
  if (is_turned(N)) {
    return linear_scratch(N, w.I) + thread_count() * round_up(kTurnedOutputs * w.I, Scratch::kAlign);
  }
  if (N <= kStreamedRows) return Scratch::kAlign + N * round_up(w.I, kOrdered);
  return Scratch::kAlign + rows_a_block(w) * w.I;
}

// What an empty sum leaves.
void fill_rows(int64_t N, int64_t O, const float* bias, float* y) {
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t o = 0; o < O; ++o) y[n * O + o] = bias ? bias[o] : 0.0f;
  }
}

}  // namespace

void unpack_rows(const PackedMatrix& matrix, int64_t first, int64_t count, float* w) noexcept {
  HWY_DYNAMIC_DISPATCH(widen_rows)(matrix, first, count, w);
}

int64_t packed_linear_scratch(int64_t N, const PackedMatrix& w) noexcept {
  if (w.packing != Packing::kBF16) return bytes_linear_scratch(N, w.I);
  if (has_bf16_products()) return numbers_linear_scratch(N, w);
  return Scratch::kAlign + round_up(N * w.I, Scratch::kAlign) + widened_scratch(N, w);
}

void packed_linear(int64_t N, const float* x, const PackedMatrix& w, const float* bias, float* y,
                   float* scratch) noexcept {
  if (N <= 0 || w.O <= 0) return;
  if (w.I == 0) return fill_rows(N, w.O, bias, y);
  if (w.packing != Packing::kBF16) return bytes_linear(N, x, w, bias, y, scratch);
  if (has_bf16_products()) return numbers_linear(N, x, w, bias, y, scratch);
  Scratch memory(scratch);
  float* rounded = memory.take(N * w.I);
  auto round = [&](int64_t begin, int64_t end) { round_to_bf16(end - begin, x + begin, rounded + begin); };
  parallel_for(N * w.I, 16384, std::ref(round));
  float* rest = memory.take(widened_scratch(N, w));
  PackedArgs args{N, rounded, w, bias, y, nullptr, nullptr, nullptr};
  if (is_turned(N)) return by_lanes(args, rest);
  if (N <= kStreamedRows) return by_streams(args, rest);
  args.widened = rest;
  by_blas(args);
}

}  // namespace rebased::kernels::cpu
#endif
