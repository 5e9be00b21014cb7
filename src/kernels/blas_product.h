#pragma once

#include <cstdint>

namespace rebased::kernels {

// c [M, N] = op(a) op(b), or that added to c; all row-major and dense, but for c, whose rows are ldc apart where that
// is not 0. op(a) is [M, K] and op(b) [K, N]; a turned operand lies as its transpose.
struct BlasProduct {
  int64_t M, N, K;
  const float* a;
  bool a_turned = false;
  const float* b;
  bool b_turned = false;
  float* c;
  bool accumulate = false;
  int64_t ldc = 0;
};

namespace cpu {

// By OpenBLAS, which computes blocks of c on the threads of parallel_for and starts none of its own. The blocks depend
// on the sizes and on thread_count() alone.
void blas_product(const BlasProduct& product) noexcept;

}  // namespace cpu
}  // namespace rebased::kernels
