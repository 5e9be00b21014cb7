#include <algorithm>
#include <cstring>
#include <functional>

#include "base/threads.h"
#include "kernels/dense.h"
#include "kernels/dense_grad.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elements/table_rows.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"
#include "kernels/tools/monomials-inl.h"

#ifndef REBASED_KERNELS_TABLE_ROWS_ARGS
#define REBASED_KERNELS_TABLE_ROWS_ARGS
namespace rebased::kernels::cpu {
namespace {
struct RowAdder {
  int64_t N, C;
  const int64_t* rows;
  const float* x;
  float* table;
};
}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// Of the table's rows [begin, end).
void add_rows_between(const RowAdder& a, int64_t begin, int64_t end) {
  for (int64_t n = 0; n < a.N; ++n) {
    if (a.rows[n] >= begin && a.rows[n] < end) add_scaled(a.C, 1, a.x + n * a.C, a.table + a.rows[n] * a.C);
  }
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(add_rows_between);

constexpr int64_t kElements = 16384;  // worth a thread

int64_t grain(int64_t elements_a_row) { return std::max<int64_t>(1, kElements / std::max<int64_t>(1, elements_a_row)); }

}  // namespace

void embedding(int64_t N, int64_t C, const int64_t* ids, const float* table, float* y) noexcept {
  auto body = [=](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      std::memcpy(y + n * C, table + ids[n] * C, static_cast<size_t>(C) * sizeof(float));
    }
  };
  parallel_for(N, grain(C), std::ref(body));
}

// Each thread owns a stretch of the table and looks for its rows: no sum depends on who comes first.
void add_to_rows(int64_t N, int64_t C, int64_t V, const int64_t* rows, const float* x, float* table) noexcept {
  const RowAdder args{N, C, rows, x, table};
  auto body = [&args](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(add_rows_between)(args, begin, end); };
  const int64_t threads = std::max<int64_t>(1, N * C / kElements);
  parallel_for(V, (V + threads - 1) / threads, std::ref(body));
}

}  // namespace rebased::kernels::cpu
#endif
