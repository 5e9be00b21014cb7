#include "kernels/cpu/packed_bytes.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "base/threads.h"
#include "kernels/cpu/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/packed_bytes.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"

#ifndef REBASED_KERNELS_CPU_PACKED_BYTES
#define REBASED_KERNELS_CPU_PACKED_BYTES
namespace rebased::kernels::cpu {
namespace {
constexpr int32_t kInfinity = 0x7f800000;  // as bits
}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT
using Ints = hn::Vec<IntTag>;

// A whole group of x, its scale and the sum of its bytes; see reference::round_to_bytes. One that is not finite has
// bytes 0 and scale NaN.
int32_t round_group(const float* x, int8_t* bytes, float* scale) {
  const Tag d;
  const IntTag di;
  Ints largest = hn::Zero(di);  // of bits without sign: ordered as the numbers are, infinity and NaN above them
  for (int64_t i = 0; i < kPackedGroup; i += lane_count()) {
    largest = hn::Max(largest, hn::BitCast(di, hn::Abs(hn::LoadU(d, x + i))));
  }
  const auto bits = hn::GetLane(hn::MaxOfLanes(di, largest));
  *scale = bits < kInfinity ? std::bit_cast<float>(bits) / 127 : std::numeric_limits<float>::quiet_NaN();
  if (!(*scale > 0)) {
    std::fill_n(bytes, kPackedGroup, int8_t{0});
    return 0;
  }
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
  return hn::GetLane(hn::SumOfLanes(di, sum));
}

// Groups [begin, end) of row n.
void round_row(const BytesArgs& a, int64_t n, int64_t begin, int64_t end) {
  const int32_t above = a.w.packing == Packing::kI4 ? 8 : 128;
  const RowBlock block = block_of(a.N, n);
  for (int64_t group = begin; group < end; ++group) {
    const int64_t i = group * kPackedGroup, left = a.w.I - i;
    const float* x = a.x + n * a.w.I + i;
    float last[kPackedGroup] = {};
    if (left < kPackedGroup) x = std::copy_n(x, left, last) - left;
    const int64_t at = block.begin * a.groups + group * block.rows + n - block.begin;
    a.shifts[at] = -above * round_group(x, a.bytes + at * kPackedGroup, a.x_scales + at);
  }
}

// Groups [begin, end) of all rows, row by row.
void round_groups(const BytesArgs& a, int64_t begin, int64_t end) {
  for (int64_t n = begin / a.groups; n * a.groups < end; ++n) {
    const int64_t first = n * a.groups;
    round_row(a, n, std::max<int64_t>(begin - first, 0), std::min(end - first, a.groups));
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(round_groups);

constexpr int64_t kGrain = 32768;        // multiplications worth a thread
constexpr int64_t kRoundedGroups = 256;  // groups of x worth one

bool vnni_allowed = true;

bool has_vnni() {
#if HWY_ARCH_X86
  static const bool has = __builtin_cpu_supports("avx512vnni") != 0;
  return has && vnni_allowed;
#else
  return false;
#endif
}

}  // namespace

void allow_vnni(bool allowed) noexcept { vnni_allowed = allowed; }

int64_t bytes_linear_scratch(int64_t N, int64_t I) noexcept {
  const int64_t groups = N * packed_groups(I);
  Scratch count(nullptr);
  count.take(groups * kPackedGroup / 4);
  count.take(groups);
  count.take(groups);
  return Scratch::kAlign + count.used();
}

void bytes_linear(int64_t N, const float* x, const PackedMatrix& w, const float* bias, float* y,
                  float* scratch) noexcept {
  const int64_t groups = packed_groups(w.I);
  Scratch memory(scratch);
  auto* bytes = reinterpret_cast<int8_t*>(memory.take(N * groups * kPackedGroup / 4));
  float* x_scales = memory.take(N * groups);
  auto* shifts = reinterpret_cast<int32_t*>(memory.take(N * groups));
  const BytesArgs args{N, groups, x, w, bias, y, bytes, x_scales, shifts, has_vnni()};
  auto round = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(round_groups)(args, begin, end); };
  parallel_for(N * groups, kRoundedGroups, std::ref(round));
  auto multiply = [&](int64_t begin, int64_t end) { multiply_tiles(args, begin, end); };
  const int64_t tile_work = std::max<int64_t>(1, N * w.I * kPackedTile);
  parallel_for(packed_tiles(w.O), std::max<int64_t>(1, kGrain / tile_work), std::ref(multiply));
}

}  // namespace rebased::kernels::cpu
#endif
