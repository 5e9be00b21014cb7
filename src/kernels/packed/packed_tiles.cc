#include <algorithm>
#include <cstring>

#include "kernels/packed/packed_bytes.h"
#include "kernels/tools/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/packed/packed_tiles.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#ifndef REBASED_KERNELS_PACKED_TILES_SIZES
#define REBASED_KERNELS_PACKED_TILES_SIZES
namespace rebased::kernels::cpu {
namespace {

constexpr int kWords = kPackedGroup / 4;            // of four bytes in a group
constexpr int64_t kVector = kPackedTile * 4;        // bytes of a word of every row of a tile
constexpr int64_t kLine = 64;                       // bytes
constexpr int64_t kAhead = 4096;                    // bytes fetched ahead
constexpr int64_t kCachedBytes = int64_t{1} << 18;  // of x, to stay in the second cache while all tiles pass by

// Always inline: GCC takes a call that only prefetches for one without effect.
__attribute__((always_inline)) inline void fetch_once(const void* line) { __builtin_prefetch(line, 0, 0); }

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT
using Ints = hn::Vec<IntTag>;

// One output a 32-bit lane, so that no sum crosses lanes: word k of a group of x meets word k of the tile's group, the
// four numbers q of each output that belong to it.

HWY_INLINE Ints low_halves(Ints bytes) { return hn::And(bytes, hn::Set(IntTag(), 0x0f0f0f0f)); }
HWY_INLINE Ints high_halves(Ints bytes) { return low_halves(hn::ShiftRight<4>(bytes)); }

// sum(q x) over a group for kRows rows of x: how products add up. Sums of one word after another; kBits of q.

#if HWY_TARGET <= HWY_AVX3
// Four products a lane and their sum are one instruction, of which Highway's targets below AVX3_DL know nothing.
template <int kBits, int kRows>
struct FourProducts {
  Ints sums[kRows];

  HWY_INLINE explicit FourProducts(const int32_t* shifts) {
    for (int r = 0; r < kRows; ++r) sums[r] = hn::Set(IntTag(), shifts[r]);
  }
  HWY_INLINE void add(Ints q, const int8_t* x) {
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      asm("vpdpbusd %2%{1to16%}, %1, %0"
          : "+v"(sums[r].raw)
          : "v"(q.raw), "m"(*reinterpret_cast<const int8_t(*)[4]>(x + r * kPackedGroup)));
    }
  }
  HWY_INLINE Ints sum(int r) const { return sums[r]; }
};
#endif

#if HWY_TARGET <= HWY_SSSE3
// Two products and their sum in 16 bits: 16 of at most 15 x 127 in a group. Halves of whole bytes are multiplied apart.
template <int kBits, int kRows>
struct TwoProducts {
  const int32_t* shifts;
  Ints low[kRows], high[kRows];

  HWY_INLINE explicit TwoProducts(const int32_t* group_shifts) : shifts(group_shifts) {
    for (int r = 0; r < kRows; ++r) low[r] = high[r] = hn::Zero(IntTag());
  }
  HWY_INLINE void add(Ints q, const int8_t* x) {
    const Ints q_low = kBits == 8 ? low_halves(q) : q, q_high = high_halves(q);
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      int32_t four_bytes;
      std::memcpy(&four_bytes, x + r * kPackedGroup, sizeof(four_bytes));
      const Ints word = hn::Set(IntTag(), four_bytes);
      low[r] = add_pairs(low[r], q_low, word);
      if constexpr (kBits == 8) high[r] = add_pairs(high[r], q_high, word);
    }
  }
  HWY_INLINE Ints sum(int r) const {
    const Ints sum = hn::Add(hn::Set(IntTag(), shifts[r]), word_sums(low[r], 1));
    return kBits == 8 ? hn::Add(sum, word_sums(high[r], 16)) : sum;
  }

 private:
#if HWY_TARGET <= HWY_AVX3
  static HWY_INLINE Ints add_pairs(Ints sums, Ints w, Ints x) {
    return Ints{_mm512_add_epi16(sums.raw, _mm512_maddubs_epi16(w.raw, x.raw))};
  }
  static HWY_INLINE Ints word_sums(Ints sums, int16_t times) {
    return Ints{_mm512_madd_epi16(sums.raw, _mm512_set1_epi16(times))};
  }
#elif HWY_TARGET <= HWY_AVX2
  static HWY_INLINE Ints add_pairs(Ints sums, Ints w, Ints x) {
    return Ints{_mm256_add_epi16(sums.raw, _mm256_maddubs_epi16(w.raw, x.raw))};
  }
  static HWY_INLINE Ints word_sums(Ints sums, int16_t times) {
    return Ints{_mm256_madd_epi16(sums.raw, _mm256_set1_epi16(times))};
  }
#else
  static HWY_INLINE Ints add_pairs(Ints sums, Ints w, Ints x) {
    return Ints{_mm_add_epi16(sums.raw, _mm_maddubs_epi16(w.raw, x.raw))};
  }
  static HWY_INLINE Ints word_sums(Ints sums, int16_t times) {
    return Ints{_mm_madd_epi16(sums.raw, _mm_set1_epi16(times))};
  }
#endif
};
template <int kBits, int kRows>
using Products = TwoProducts<kBits, kRows>;
#else
// One product at a time, in 32 bits.
template <int kBits, int kRows>
struct OneProduct {
  Ints sums[kRows];

  HWY_INLINE explicit OneProduct(const int32_t* shifts) {
    for (int r = 0; r < kRows; ++r) sums[r] = hn::Set(IntTag(), shifts[r]);
  }
  HWY_INLINE void add(Ints q, const int8_t* x) {
    for (int b = 0; b < 4; ++b) {
      const Ints weight = hn::And(hn::ShiftRightSame(q, 8 * b), hn::Set(IntTag(), 255));
      for (int r = 0; r < kRows; ++r) {
        sums[r] = hn::Add(sums[r], hn::Mul(weight, hn::Set(IntTag(), x[r * kPackedGroup + b])));
      }
    }
  }
  HWY_INLINE Ints sum(int r) const { return sums[r]; }
};
template <int kBits, int kRows>
using Products = OneProduct<kBits, kRows>;
#endif

// The weights of a tile, from its lane `lane` on.

struct Int4Tile {
  static constexpr int kBits = 4;
  static constexpr int64_t kGroupBytes = kWords / 2 * kVector;
  const uint8_t* data;
  const uint16_t* scales;

  Int4Tile(const PackedMatrix& w, int64_t groups, int64_t tile, int64_t lane)
      : data(static_cast<const uint8_t*>(w.data) + tile * groups * kGroupBytes + 4 * lane),
        scales(static_cast<const uint16_t*>(w.scales) + tile * groups * kPackedTile + lane) {}

  // Words 2v and 2v + 1 of a group.
  HWY_INLINE void load(int64_t group, int v, Ints& even, Ints& odd) const {
    const uint8_t* words = data + group * kGroupBytes + v * kVector;
    const Ints both = hn::LoadU(IntTag(), reinterpret_cast<const int32_t*>(words));
    even = low_halves(both);
    odd = high_halves(both);
  }
  HWY_INLINE Vec group_scales(int64_t group) const {
    const hn::Rebind<uint16_t, Tag> bf16;
    const auto wide = hn::PromoteTo(hn::Rebind<uint32_t, Tag>(), hn::LoadU(bf16, scales + group * kPackedTile));
    return hn::BitCast(Tag(), hn::ShiftLeft<16>(wide));
  }
  // Two streams, and work on every line: the core's own prefetching does not keep up. What is read once need not push
  // other things out of the caches.
  HWY_INLINE void fetch_ahead(int64_t group) const {
    const uint8_t* ahead = data + group * kGroupBytes + kAhead;
    HWY_UNROLL(4)
    for (int v = 0; v < kWords / 2; ++v) fetch_once(ahead + v * kVector);
    fetch_once(scales + group * kPackedTile + kAhead / sizeof(uint16_t));
  }
  // sums += x_scale w_scale dot
  static HWY_INLINE Vec add(Vec dot, Vec x_scale, Vec w_scale, Vec sums) {
    return hn::MulAdd(hn::Mul(dot, x_scale), w_scale, sums);
  }
  HWY_INLINE Vec finish(Vec sums) const { return sums; }
};

struct Int8Tile {
  static constexpr int kBits = 8;
  static constexpr int64_t kGroupBytes = kWords * kVector;
  const uint8_t* data;
  const float* scales;

  Int8Tile(const PackedMatrix& w, int64_t groups, int64_t tile, int64_t lane)
      : data(static_cast<const uint8_t*>(w.data) + tile * groups * kGroupBytes + 4 * lane),
        scales(static_cast<const float*>(w.scales) + tile * kPackedTile + lane) {}

  HWY_INLINE void load(int64_t group, int v, Ints& even, Ints& odd) const {
    const uint8_t* words = data + group * kGroupBytes + 2 * v * kVector;
    even = hn::LoadU(IntTag(), reinterpret_cast<const int32_t*>(words));
    odd = hn::LoadU(IntTag(), reinterpret_cast<const int32_t*>(words + kVector));
  }
  HWY_INLINE Vec group_scales(int64_t) const { return hn::Zero(Tag()); }
  HWY_INLINE void fetch_ahead(int64_t) const {}  // one stream, read faster than asked for
  static HWY_INLINE Vec add(Vec dot, Vec x_scale, Vec, Vec sums) { return hn::MulAdd(dot, x_scale, sums); }
  HWY_INLINE Vec finish(Vec sums) const { return hn::Mul(sums, hn::LoadU(Tag(), scales)); }
};

// Outputs o .. of y's row n; o's lane of a vector may be the last.
HWY_INLINE void store_outputs(const BytesArgs& a, int64_t n, int64_t o, Vec sum) {
  const Tag d;
  float* y = a.y + n * a.w.O + o;
  const int64_t left = a.w.O - o;
  if (left >= lane_count()) return hn::StoreU(a.bias ? hn::Add(sum, hn::LoadU(d, a.bias + o)) : sum, d, y);
  if (left > 0) store_first(d, a.bias ? hn::Add(sum, load_first(d, a.bias + o, left)) : sum, y, left);
}

// Lines of each group of a tile.
struct GroupLines {
  int64_t begin = 0, end = 0;
};

// Asks for these lines of a group of the next tile, for the second cache.
template <class Tile>
HWY_INLINE void fetch_next(const Tile& weights, GroupLines lines, int64_t groups, int64_t group) {
  const uint8_t* next = weights.data + (groups + group) * Tile::kGroupBytes;
  for (int64_t line = lines.begin; line < lines.end; ++line) __builtin_prefetch(next + line * kLine, 0, 2);
}

// Rows n .. n + kRows - 1 of x, a block, with the rows of a tile from `lane` on.
template <template <int, int> class Dots, class Tile, int kRows>
HWY_INLINE void tile_rows(const BytesArgs& a, int64_t tile, int64_t lane, int64_t n, GroupLines next) {
  const Tag d;
  const Tile weights(a.w, a.groups, tile, lane);
  Vec sums[kRows];
  for (Vec& sum : sums) sum = hn::Zero(d);
  for (int64_t g = 0; g < a.groups; ++g) {
    if (n == 0 && a.N <= kMostRows) weights.fetch_ahead(g);
    fetch_next(weights, next, a.groups, g);
    const int64_t at = n * a.groups + g * kRows;
    const int8_t* x = a.bytes + at * kPackedGroup;
    Dots<Tile::kBits, kRows> dots(a.shifts + at);
    HWY_UNROLL(4)
    for (int v = 0; v < kWords / 2; ++v) {
      Ints even, odd;
      weights.load(g, v, even, odd);
      dots.add(even, x + 8 * v);
      dots.add(odd, x + 8 * v + 4);
    }
    const Vec w_scale = weights.group_scales(g);
    HWY_UNROLL(8)
    for (int r = 0; r < kRows; ++r) {
      sums[r] = Tile::add(hn::ConvertTo(d, dots.sum(r)), hn::Set(d, a.x_scales[at + r]), w_scale, sums[r]);
    }
  }
  for (int r = 0; r < kRows; ++r) store_outputs(a, n + r, tile * kPackedTile + lane, weights.finish(sums[r]));
}

// Rows [begin, end) of x, whole blocks, with a tile, which stays in the first caches. The blocks of 8 share the lines
// of the next one, so that memory is read all the time.
template <template <int, int> class Dots, class Tile>
HWY_INLINE void all_rows(const BytesArgs& a, int64_t tile, int64_t begin, int64_t end) {
  constexpr int64_t kLines = Tile::kGroupBytes / kLine;
  const int64_t blocks = (end - begin) / kMostRows;
  for (int64_t lane = 0; lane < kPackedTile; lane += lane_count()) {
    for (int64_t n = begin; n < end;) {
      const int64_t rows = block_of(a.N, n).rows, block = (n - begin) / kMostRows;
      if (rows == 8) {
        const bool fetches = a.N > kMostRows && lane == 0;
        const GroupLines next{kLines * block / blocks, kLines * (block + 1) / blocks};
        tile_rows<Dots, Tile, 8>(a, tile, lane, n, fetches ? next : GroupLines());
      } else if (rows == 4) {
        tile_rows<Dots, Tile, 4>(a, tile, lane, n, {});
      } else if (rows == 2) {
        tile_rows<Dots, Tile, 2>(a, tile, lane, n, {});
      } else {
        tile_rows<Dots, Tile, 1>(a, tile, lane, n, {});
      }
      n += rows;
    }
  }
}

template <template <int, int> class Dots>
void tiles_with(const BytesArgs& a, int64_t begin, int64_t end) {
  const int64_t most = round_up(kCachedBytes / (a.groups * kPackedGroup + 1) + 1, kMostRows);
  for (int64_t n = 0; n < a.N; n += most) {
    const int64_t stop = std::min(a.N, n + most);
    for (int64_t tile = begin; tile < end; ++tile) {
      a.w.packing == Packing::kI4 ? all_rows<Dots, Int4Tile>(a, tile, n, stop)
                                  : all_rows<Dots, Int8Tile>(a, tile, n, stop);
    }
  }
}

void tiles(const BytesArgs& a, int64_t begin, int64_t end) {
#if HWY_TARGET <= HWY_AVX3
  if (a.vnni) return tiles_with<FourProducts>(a, begin, end);
#endif
  tiles_with<Products>(a, begin, end);
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(tiles);

}  // namespace

void fetch_tiles(const BytesArgs& args, int64_t begin, int64_t end) noexcept {
  const PackedMatrix& w = args.w;
  auto fetch = [&](const void* all, int64_t bytes) {  // a tile's
    const auto* at = static_cast<const char*>(all) + begin * bytes;
    for (int64_t i = 0; i < std::min(kAhead, (end - begin) * bytes); i += kLine) fetch_once(at + i);
  };
  fetch(w.data, packed_data_bytes(w.packing, kPackedTile, w.I));
  fetch(w.scales, packed_scale_bytes(w.packing, kPackedTile, w.I));
}

void multiply_tiles(const BytesArgs& args, int64_t begin, int64_t end) noexcept {
  HWY_DYNAMIC_DISPATCH(tiles)(args, begin, end);
}

}  // namespace rebased::kernels::cpu
#endif
