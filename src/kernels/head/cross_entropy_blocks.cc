#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/threads.h"
#include "kernels/bf16_product.h"
#include "kernels/blas_product.h"
#include "kernels/head/cross_entropy_plan.h"
#include "kernels/tools/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/head/cross_entropy_blocks.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

HWY_INLINE float largest(const float* x, int64_t n) {
  const Tag d;
  const Vec lowest = hn::Set(d, -std::numeric_limits<float>::infinity());
  Vec top = lowest;
  for_each_vector(n, [&](int64_t i, auto at) HWY_ATTR {
    top = hn::Max(top, hn::IfThenElse(hn::Gt(at.keep(hn::Set(d, 1.0f)), hn::Zero(d)), at.load(x + i), lowest));
  });
  return max_lanes(top);
}

// x[i] = exp(x[i] - top); returns their sum.
HWY_INLINE float exponentiate(float* x, int64_t n, float top) {
  const Tag d;
  const Vec shift = hn::Set(d, top);
  Vec sum = hn::Zero(d);
  for_each_vector(n, [&](int64_t i, auto at) HWY_ATTR {
    const Vec e = exp_weight(d, hn::Sub(at.load(x + i), shift));
    sum = hn::Add(sum, at.keep(e));
    at.store(e, x + i);
  });
  return sum_lanes(sum);
}

// Logits of rows [begin, end) after row `first` -> nll, best and, in place, the gradient of the logits.
void loss_rows(const CrossEntropyArgs<float>& a, int64_t first, float* logits, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    float* row = logits + r * a.V;
    const int64_t n = first + r;
    const float top = largest(row, a.V);
    if (a.best) {
      const float* found = std::find(row, row + a.V, top);
      a.best[n] = found == row + a.V ? 0 : found - row;
    }
    const double of_label = row[a.labels[n]];
    const float sum = exponentiate(row, a.V, top);
    a.nll[n] = static_cast<float>(std::log(static_cast<double>(sum)) + top - of_label);
    if (!a.d_x) continue;
    const Vec factor = hn::Set(Tag(), static_cast<float>(a.grad_scale / sum));
    for_each_vector(a.V, [&](int64_t v, auto at) HWY_ATTR { at.store(hn::Mul(at.load(row + v), factor), row + v); });
    row[a.labels[n]] -= static_cast<float>(a.grad_scale);
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(loss_rows);

// Rows a block: enough that the sums of the weight gradient are long, few enough that the logits stay below 32 MiB.
int64_t block_rows(const CrossEntropyArgs<float>& args) {
  return std::min(args.N, std::clamp<int64_t>((int64_t{1} << 23) / std::max<int64_t>(1, args.V), 64, 1024));
}

Bf16ProductArgs rounded(const BlasProduct& p, float* scratch) {
  return {.M = p.M,
          .N = p.N,
          .K = p.K,
          .a = p.a,
          .a_turned = p.a_turned,
          .b = p.b,
          .b_turned = p.b_turned,
          .c = p.c,
          .ldc = p.N,
          .accumulate = p.accumulate,
          .scratch = scratch};
}

void multiply(const BlasProduct& p, bool bf16, float* scratch) {
  if (bf16) return bf16_product(rounded(p, scratch));
  blas_product(p);
}

// The three products of a block of rows.
struct Products {
  BlasProduct logits, d_x, d_e;
};

Products products_of(const CrossEntropyArgs<float>& a, int64_t first, int64_t rows, float* logits) {
  const float* x = a.x + first * a.C;
  float* d_x = a.d_x ? a.d_x + first * a.C : nullptr;
  return {{rows, a.V, a.C, x, false, a.e, true, logits},
          {rows, a.C, a.V, logits, false, a.e, false, d_x},
          {a.V, a.C, rows, logits, true, x, false, a.d_e, first > 0}};
}

int64_t logit_floats(const CrossEntropyArgs<float>& args) {
  return Scratch::kAlign + round_up(block_rows(args) * args.V, Scratch::kAlign);
}

}  // namespace

int64_t cross_entropy_blocks_scratch(const CrossEntropyArgs<float>& args) noexcept {
  int64_t most = 0;
  if (args.bf16) {
    const Products all = products_of(args, 0, block_rows(args), nullptr);
    for (const BlasProduct& p : {all.logits, all.d_x, all.d_e}) {
      most = std::max(most, bf16_product_scratch(rounded(p, nullptr)));
    }
  }
  return logit_floats(args) + most;
}

void cross_entropy_blocks(const CrossEntropyArgs<float>& a) noexcept {
  const int64_t block = block_rows(a);
  Scratch memory(a.scratch);
  float *logits = memory.take(block * a.V), *scratch = memory.take(0);
  for (int64_t first = 0; first < a.N; first += block) {
    const int64_t rows = std::min(block, a.N - first);
    const Products products = products_of(a, first, rows, logits);
    multiply(products.logits, a.bf16, scratch);
    auto body = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(loss_rows)(a, first, logits, begin, end); };
    parallel_for(rows, std::max<int64_t>(1, 8192 / a.V), std::ref(body));
    if (!a.d_x) continue;
    multiply(products.d_x, a.bf16, scratch);
    multiply(products.d_e, a.bf16, scratch);
  }
}

}  // namespace rebased::kernels::cpu
#endif
