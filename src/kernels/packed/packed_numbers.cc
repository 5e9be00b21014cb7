#include "kernels/packed/packed_numbers.h"

#include <algorithm>
#include <functional>

#include "base/threads.h"
#include "kernels/bf16_product.h"
#include "kernels/products/linear_plan.h"
#include "kernels/tools/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/packed/packed_numbers.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/products/bf16_dot-inl.h"
#include "kernels/products/bf16_turned-inl.h"

#ifndef REBASED_KERNELS_PACKED_NUMBERS_ARGS
#define REBASED_KERNELS_PACKED_NUMBERS_ARGS
namespace rebased::kernels::cpu {
namespace {

struct NumbersArgs {
  int64_t N, I, O;
  const float* x;
  const uint16_t* w;
  const float* bias;
  float* y;
  uint32_t* rounded;  // x in pairs: row by row [N, round_up(I, kOrdered) / 2], or blocks of kTurnedBlock rows turned
  float* sums;        // where x is turned, a thread's own [kTurnedOutputs, turned_width(rows of a block)]
};

constexpr int64_t kRoundedStep = 64;  // columns of x
constexpr int64_t kTurnedBlock = 64;  // rows of x

// Numbers of x in lanes, those that no row has with them.
int64_t turned_rows(int64_t N) { return N / kTurnedBlock * kTurnedBlock + turned_width(N % kTurnedBlock); }

// body(first row, rows, where the block lies turned).
template <class Body>
void for_each_block(const NumbersArgs& a, const Body& body) {
  for (int64_t n = 0; n < a.N; n += kTurnedBlock) {
    body(n, std::min(kTurnedBlock, a.N - n), a.rounded + round_up(a.I, kRoundedStep) / 2 * n);
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

#if HWY_TARGET <= HWY_AVX3
void round_rows(const NumbersArgs& a, int64_t begin, int64_t end) {
  const int64_t width = round_up(a.I, kOrdered) / 2;
  for (int64_t n = begin; n < end; ++n) bf16::round_row(a.I, a.x + n * a.I, a.rounded + n * width);
}

// Steps [begin, end) of kRoundedStep columns.
void turn_columns(const NumbersArgs& a, int64_t begin, int64_t end) {
  const int64_t first = begin * kRoundedStep, columns = std::min(a.I, end * kRoundedStep) - first;
  for_each_block(a, [&](int64_t n, int64_t rows, uint32_t* rounded) HWY_ATTR {
    const int64_t width = turned_width(rows);
    bf16::pack_turned<bf16::FloatNumbers>(a.x + first, a.I, n, n + rows, columns, rounded + first / 2 * width, width);
  });
}

void dot_outputs(const NumbersArgs& a, int64_t begin, int64_t end) {
  const auto* x = reinterpret_cast<const uint16_t*>(a.rounded);
  if (a.N == 1) return bf16::stream_row({a.I}, x, a.w, a.bias, a.y, begin, end);
  using namespace linear_tile;  // NOLINT
  all_outputs<kOutputs>(Tile<bf16::PairRows>{a.N, a.O, {a.I}, x, a.w, a.bias, a.y}, begin, end);
}

void turned_outputs(const NumbersArgs& a, int64_t begin, int64_t end) {
  for (int64_t o = begin; o < end; o += kTurnedOutputs) {
    const int64_t count = std::min(kTurnedOutputs, end - o);
    const uint16_t *w = a.w + o * a.I, *next = o + kTurnedOutputs < end ? w + kTurnedOutputs * a.I : w;
    for_each_block(a, [&](int64_t n, int64_t rows, const uint32_t* rounded) HWY_ATTR {
      bf16::some_outputs(rows, a.I, a.O, rounded, count, w, a.bias ? a.bias + o : nullptr, a.y + n * a.O + o, a.sums,
                         n == 0 ? next : w);
    });
  }
}
#else
void round_rows(const NumbersArgs&, int64_t, int64_t) {}
void turn_columns(const NumbersArgs&, int64_t, int64_t) {}
void dot_outputs(const NumbersArgs&, int64_t, int64_t) {}
void turned_outputs(const NumbersArgs&, int64_t, int64_t) {}
#endif

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(round_rows);
HWY_EXPORT(turn_columns);
HWY_EXPORT(dot_outputs);
HWY_EXPORT(turned_outputs);

constexpr int64_t kGrain = 32768;      // multiplications worth a thread
constexpr int64_t kRoundGrain = 8192;  // numbers of x worth one

constexpr int64_t kDotRows = 4;       // more are faster turned
constexpr int64_t kTurnedMost = 256;  // up to here 1.05 to 1.3 times as fast as packing the weights

// How rows of x are multiplied: as they lie, turned, or as a product of two packed matrices.
enum class Way : uint8_t { kDots, kTurned, kPacked };

Way way_of(int64_t N, int64_t I) {
  if (N <= kDotRows) return Way::kDots;
  if (I % 2 != 0) return N <= kStreamedRows ? Way::kDots : Way::kPacked;  // pairs of a row begin at whole ones
  return N <= kTurnedMost ? Way::kTurned : Way::kPacked;
}

Bf16ProductArgs product_of(int64_t N, const float* x, const PackedMatrix& w, const float* bias, float* y) {
  Bf16ProductArgs args{.M = N, .N = w.O, .K = w.I, .a = x};
  args.b_bf16 = static_cast<const uint16_t*>(w.data);
  args.b_turned = true;
  args.bias = bias;
  args.c = y;
  args.ldc = w.O;
  return args;
}

void by_dots(NumbersArgs args, float* scratch) {
  args.rounded = reinterpret_cast<uint32_t*>(Scratch(scratch).take(args.N * round_up(args.I, kOrdered) / 2));
  auto round = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(round_rows)(args, begin, end); };
  parallel_for(args.N, std::max<int64_t>(1, kRoundGrain / std::max<int64_t>(1, args.I)), std::ref(round));
  auto body = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(dot_outputs)(args, begin, end); };
  parallel_for(args.O, std::max<int64_t>(4, kGrain / std::max<int64_t>(1, args.I * args.N)), std::ref(body));
}

void by_turned(NumbersArgs args, float* scratch) {
  Scratch memory(scratch);
  const int64_t width = turned_rows(args.N), own = kTurnedOutputs * std::min(width, kTurnedBlock);
  args.rounded = reinterpret_cast<uint32_t*>(memory.take(round_up(args.I, kRoundedStep) / 2 * width));
  float* sums = memory.take(thread_count() * own);
  auto turn = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(turn_columns)(args, begin, end); };
  parallel_for((args.I + kRoundedStep - 1) / kRoundedStep, kRoundGrain / (kRoundedStep * width) + 1, std::ref(turn));
  auto body = [&](int64_t begin, int64_t end) {
    NumbersArgs mine = args;
    mine.sums = sums + thread_index() * own;
    HWY_DYNAMIC_DISPATCH(turned_outputs)(mine, begin, end);
  };
  parallel_for(args.O, kTurnedOutputs, std::ref(body));
}

}  // namespace

int64_t numbers_linear_scratch(int64_t N, const PackedMatrix& w) noexcept {
  const Way way = way_of(N, w.I);
  if (way == Way::kPacked) return bf16_product_scratch(product_of(N, nullptr, w, nullptr, nullptr));
  if (way == Way::kDots) return Scratch::kAlign + N * round_up(w.I, kOrdered) / 2;
  const int64_t width = turned_rows(N), sums = thread_count() * kTurnedOutputs * std::min(width, kTurnedBlock);
  return Scratch::kAlign + round_up(w.I, kRoundedStep) / 2 * width + sums;
}

void numbers_linear(int64_t N, const float* x, const PackedMatrix& w, const float* bias, float* y,
                    float* scratch) noexcept {
  const Way way = way_of(N, w.I);
  if (way == Way::kPacked) {
    Bf16ProductArgs args = product_of(N, x, w, bias, y);
    args.scratch = scratch;
    return bf16_product(args);
  }
  const NumbersArgs args{N, w.I, w.O, x, static_cast<const uint16_t*>(w.data), bias, y, nullptr, nullptr};
  way == Way::kDots ? by_dots(args, scratch) : by_turned(args, scratch);
}

}  // namespace rebased::kernels::cpu
#endif
