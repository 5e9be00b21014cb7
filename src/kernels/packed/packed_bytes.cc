#include "kernels/packed/packed_bytes.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>

#include "base/threads.h"
#include "kernels/tools/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/packed/packed_bytes.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#ifndef REBASED_KERNELS_PACKED_BYTES
#define REBASED_KERNELS_PACKED_BYTES
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

constexpr int64_t kGrain = 32768;       // multiplications worth a thread
constexpr int64_t kRoundedGroups = 64;  // groups of x worth one

bool vnni_allowed = true;

bool has_vnni() {
#if HWY_ARCH_X86
  static const bool has = __builtin_cpu_supports("avx512vnni") != 0;
  return has && vnni_allowed;
#else
  return false;
#endif
}

// Gives x in bytes, of so many groups, its memory; returns the floats taken.
int64_t take_rounded(float* scratch, int64_t groups, BytesArgs* args) {
  Scratch memory(scratch);
  float* bytes = memory.take(groups * kPackedGroup / 4);
  float* x_scales = memory.take(groups);
  float* shifts = memory.take(groups);
  if (args != nullptr) {
    args->bytes = reinterpret_cast<int8_t*>(bytes);
    args->x_scales = x_scales;
    args->shifts = reinterpret_cast<int32_t*>(shifts);
  }
  return memory.used();
}
int64_t rounded_floats(int64_t groups) { return take_rounded(nullptr, groups, nullptr); }

// Every thread rounds the row for itself, which is little, while the first of its weights are on their way.
void one_row(const BytesArgs& args, int64_t grain, float* scratch) {
  const int64_t own = rounded_floats(args.groups);
  float* of_threads = Scratch(scratch).take(thread_count() * own);
  auto body = [&](int64_t begin, int64_t end) {
    fetch_tiles(args, begin, end);
    BytesArgs mine = args;
    take_rounded(of_threads + thread_index() * own, args.groups, &mine);
    HWY_DYNAMIC_DISPATCH(round_groups)(mine, 0, args.groups);
    multiply_tiles(mine, begin, end);
  };
  parallel_for(packed_tiles(args.w.O), grain, std::ref(body));
}

void several_rows(BytesArgs args, int64_t grain, float* scratch) {
  take_rounded(scratch, args.N * args.groups, &args);
  auto round = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(round_groups)(args, begin, end); };
  parallel_for(args.N * args.groups, kRoundedGroups, std::ref(round));
  auto multiply = [&](int64_t begin, int64_t end) { multiply_tiles(args, begin, end); };
  parallel_for(packed_tiles(args.w.O), grain, std::ref(multiply));
}

}  // namespace

void allow_vnni(bool allowed) noexcept { vnni_allowed = allowed; }

int64_t bytes_linear_scratch(int64_t N, int64_t I) noexcept {
  const int64_t copies = N == 1 ? thread_count() : 1;
  return Scratch::kAlign + copies * rounded_floats(N * packed_groups(I));
}

void bytes_linear(int64_t N, const float* x, const PackedMatrix& w, const float* bias, float* y,
                  float* scratch) noexcept {
  const int64_t groups = packed_groups(w.I);
  const BytesArgs args{N, groups, x, w, bias, y, nullptr, nullptr, nullptr, has_vnni()};
  const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(1, N * w.I * kPackedTile));
  N == 1 ? one_row(args, grain, scratch) : several_rows(args, grain, scratch);
}

}  // namespace rebased::kernels::cpu
#endif
