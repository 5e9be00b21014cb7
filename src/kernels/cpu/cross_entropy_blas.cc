#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "base/threads.h"
#include "kernels/cpu/cross_entropy_plan.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/cross_entropy_blas.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/cpu/lanes-inl.h"

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

void sgemm(CBLAS_TRANSPOSE left, CBLAS_TRANSPOSE right, int64_t M, int64_t N, int64_t K, const float* a, int64_t lda,
           const float* b, int64_t ldb, float beta, float* c, int64_t ldc) {
  cblas_sgemm(CblasRowMajor, left, right, static_cast<int>(M), static_cast<int>(N), static_cast<int>(K), 1.0f, a,
              static_cast<int>(lda), b, static_cast<int>(ldb), beta, c, static_cast<int>(ldc));
}

}  // namespace

int64_t cross_entropy_blas_scratch(const CrossEntropyArgs<float>& args) noexcept { return block_rows(args) * args.V; }

void cross_entropy_blas(const CrossEntropyArgs<float>& a) noexcept {
  const int64_t block = block_rows(a);
  for (int64_t first = 0; first < a.N; first += block) {
    const int64_t rows = std::min(block, a.N - first);
    const float* x = a.x + first * a.C;
    sgemm(CblasNoTrans, CblasTrans, rows, a.V, a.C, x, a.C, a.e, a.C, 0, a.scratch, a.V);
    auto body = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(loss_rows)(a, first, a.scratch, begin, end); };
    parallel_for(rows, std::max<int64_t>(1, 8192 / a.V), std::ref(body));
    if (!a.d_x) continue;
    sgemm(CblasNoTrans, CblasNoTrans, rows, a.C, a.V, a.scratch, a.V, a.e, a.C, 0, a.d_x + first * a.C, a.C);
    sgemm(CblasTrans, CblasNoTrans, a.V, a.C, rows, a.scratch, a.V, x, a.C, first == 0 ? 0.0f : 1.0f, a.d_e, a.C);
  }
}

}  // namespace rebased::kernels::cpu
#endif
