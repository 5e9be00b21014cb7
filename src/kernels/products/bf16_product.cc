#include "kernels/bf16_product.h"

#include <algorithm>
#include <functional>

#include "base/threads.h"
#include "kernels/products/bf16_plan.h"
#include "kernels/products/bf16_round.h"
#include "kernels/tools/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/products/bf16_product.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/products/bf16_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

#if HWY_TARGET <= HWY_AVX3
bool has_vectors() { return true; }

void pack_panels(const Bf16Job& job, int64_t begin, int64_t end) {
  using namespace bf16;  // NOLINT
  job.args.b ? pack_panels_of<FloatNumbers>(job, job.args.b, begin, end)
             : pack_panels_of<Bf16Numbers>(job, job.args.b_bf16, begin, end);
}

// Rows [row, end_row) of c in panels [panel, end_panel) of the block.
void multiply_rows(const Bf16Job& job, int64_t row, int64_t end_row, int64_t panel, int64_t end_panel,
                   uint32_t* packed_a) {
  using namespace bf16;  // NOLINT
  for (; row < end_row; row += kBf16BlockRows) {
    const int64_t rows = std::min(kBf16BlockRows, end_row - row);
    job.args.a_turned ? block_rows<PairByPair>(job, row, rows, panel, end_panel, packed_a)
                      : block_rows<RowByRow>(job, row, rows, panel, end_panel, packed_a);
  }
}
#else
bool has_vectors() { return false; }
void pack_panels(const Bf16Job&, int64_t, int64_t) {}
void multiply_rows(const Bf16Job&, int64_t, int64_t, int64_t, int64_t, uint32_t*) {}
#endif

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(has_vectors);
HWY_EXPORT(pack_panels);
HWY_EXPORT(multiply_rows);

bool bf16_allowed = true;

void multiply_block(const Bf16Job& job, uint32_t* packed_a) {
  const int64_t M = job.args.M;
  auto pack = [&](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(pack_panels)(job, begin, end); };
  parallel_for(job.panels, 1, std::ref(pack));
  auto own_a = [&] { return packed_a + thread_index() * Bf16Plan::a_pairs(); };
  auto some_rows = [&](int64_t begin, int64_t end) {
    const int64_t end_row = std::min(M, end * kBf16Rows);
    HWY_DYNAMIC_DISPATCH(multiply_rows)(job, begin * kBf16Rows, end_row, 0, job.panels, own_a());
  };
  auto some_panels = [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(multiply_rows)(job, 0, M, begin, end, own_a());
  };
  job.plan.over_rows ? parallel_for((M + kBf16Rows - 1) / kBf16Rows, 1, std::ref(some_rows))
                     : parallel_for(job.panels, 1, std::ref(some_panels));
}

}  // namespace

bool has_bf16_products() noexcept {
#if HWY_ARCH_X86
  static const bool has = __builtin_cpu_supports("avx512bf16") != 0;
  return has && bf16_allowed && HWY_DYNAMIC_DISPATCH(has_vectors)();
#else
  return false;
#endif
}

void allow_bf16(bool allowed) noexcept { bf16_allowed = allowed; }

int64_t bf16_product_scratch(const Bf16ProductArgs& args) noexcept {
  if (!has_bf16_products()) return rounded_product_scratch(args);
  return Scratch::kAlign + Bf16Plan(args).b_pairs() + thread_count() * Bf16Plan::a_pairs();
}

void bf16_product(const Bf16ProductArgs& args) noexcept {
  if (args.M <= 0 || args.N <= 0) return;
  if (!has_bf16_products()) return rounded_product(args);
  Scratch memory(args.scratch);
  const Bf16Plan plan(args);
  Bf16Job job{args, plan};
  job.b = reinterpret_cast<uint32_t*>(memory.take(plan.b_pairs()));
  auto* packed_a = reinterpret_cast<uint32_t*>(memory.take(thread_count() * Bf16Plan::a_pairs()));
  for (job.column = 0; job.column < args.N; job.column += job.columns) {
    job.columns = std::min(args.N - job.column, plan.block_panels * kBf16Columns);
    job.panels = (job.columns + kBf16Columns - 1) / kBf16Columns;
    for (job.begin_depth = 0; job.begin_depth < plan.depths; job.begin_depth = job.end_depth) {
      job.end_depth = std::min(plan.depths, job.begin_depth + kBf16BlockDepths);
      multiply_block(job, packed_a);
    }
  }
}

}  // namespace rebased::kernels::cpu
#endif
