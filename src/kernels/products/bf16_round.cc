#include "kernels/products/bf16_round.h"

#include <algorithm>
#include <functional>

#include "base/dtype.h"
#include "base/threads.h"
#include "kernels/blas_product.h"
#include "kernels/tools/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/products/bf16_round.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

void round_numbers(int64_t n, const float* x, float* y) {
  for_each_vector(n, [&](int64_t i, auto at) HWY_ATTR { at.store(nearest_bf16(at.load(x + i)), y + i); });
}

void widen_numbers(int64_t n, const uint16_t* x, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = bf16_to_f32(x[i]);
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(round_numbers);
HWY_EXPORT(widen_numbers);

constexpr int64_t kBlock = 512;  // of M, N and K at most

// Rows [row, row + rows), columns [column, column + columns) of an operand whose rows are ld apart -> dense.
struct Part {
  int64_t row, rows, column, columns;
  void turn() {
    std::swap(row, column);
    std::swap(rows, columns);
  }
};

template <class Number, class Convert>
void take_part(const Number* from, int64_t ld, const Part& part, float* to, const Convert& convert) {
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      convert(part.columns, from + (part.row + r) * ld + part.column, to + r * part.columns);
    }
  };
  parallel_for(part.rows, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, part.columns)), std::ref(body));
}

void take_a(const Bf16ProductArgs& args, Part part, float* to) {
  if (args.a_turned) part.turn();
  take_part(args.a, args.a_turned ? args.M : args.K, part, to, round_to_bf16);
}

void take_b(const Bf16ProductArgs& args, Part part, float* to) {
  if (args.b_turned) part.turn();
  const int64_t ld = args.b_turned ? args.K : args.N;
  if (args.b) return take_part(args.b, ld, part, to, round_to_bf16);
  take_part(args.b_bf16, ld, part, to, [](int64_t n, const uint16_t* x, float* y) {
    HWY_DYNAMIC_DISPATCH(widen_numbers)(n, x, y);
  });
}

// c is what the products are added to.
void begin_sums(const Bf16ProductArgs& args) {
  if (args.accumulate && !args.bias) return;
  for (int64_t m = 0; m < args.M; ++m) {
    float* c = args.c + m * args.ldc;
    for (int64_t n = 0; n < args.N; ++n) c[n] = (args.accumulate ? c[n] : 0.0f) + (args.bias ? args.bias[n] : 0.0f);
  }
}

}  // namespace

void round_to_bf16(int64_t n, const float* x, float* y) noexcept { HWY_DYNAMIC_DISPATCH(round_numbers)(n, x, y); }

int64_t rounded_product_scratch(const Bf16ProductArgs& args) noexcept {
  const int64_t K = std::min(args.K, kBlock);
  return Scratch::kAlign + round_up(std::min(args.M, kBlock) * K, Scratch::kAlign) + std::min(args.N, kBlock) * K;
}

void rounded_product(const Bf16ProductArgs& args) noexcept {
  Scratch memory(args.scratch);
  float* a = memory.take(std::min(args.M, kBlock) * std::min(args.K, kBlock));
  float* b = memory.take(std::min(args.N, kBlock) * std::min(args.K, kBlock));
  begin_sums(args);
  for (int64_t k = 0; k < args.K; k += kBlock) {
    const int64_t K = std::min(kBlock, args.K - k);
    for (int64_t n = 0; n < args.N; n += kBlock) {
      const int64_t N = std::min(kBlock, args.N - n);
      take_b(args, {k, K, n, N}, b);
      for (int64_t m = 0; m < args.M; m += kBlock) {
        const int64_t M = std::min(kBlock, args.M - m);
        take_a(args, {m, M, k, K}, a);
        blas_product({.M = M,
                      .N = N,
                      .K = K,
                      .a = a,
                      .a_turned = args.a_turned,
                      .b = b,
                      .b_turned = args.b_turned,
                      .c = args.c + m * args.ldc + n,
                      .accumulate = true,
                      .ldc = args.ldc});
      }
    }
  }
}

}  // namespace rebased::kernels::cpu
#endif
