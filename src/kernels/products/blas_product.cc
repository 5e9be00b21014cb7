#include "kernels/blas_product.h"

#include <cblas.h>
#include <omp.h>

#include <algorithm>

#include "base/threads.h"

namespace rebased::kernels::cpu {
namespace {

// Holds OpenBLAS to the calling thread. Its OpenMP build asks for the thread's own number of OpenMP threads, which
// another library may use: it is put back. The pthreads build has one number for the process.
class OneBlasThread {
 public:
  OneBlasThread() {
    static const int kind = openblas_get_parallel();
    if (kind == OPENBLAS_THREAD) openblas_set_num_threads(1);
    if (kind != OPENBLAS_OPENMP) return;
    before_ = omp_get_max_threads();
    if (before_ > 1) omp_set_num_threads(1);
  }
  ~OneBlasThread() {
    if (before_ > 1) omp_set_num_threads(before_);
  }
  OneBlasThread(const OneBlasThread&) = delete;
  OneBlasThread& operator=(const OneBlasThread&) = delete;

 private:
  int before_ = 1;
};

// Rows [begin, begin + M) and columns [first, first + N) of c.
struct Block {
  int64_t begin, M, first, N;
};

void multiply(const BlasProduct& p, const Block& block) {
  const OneBlasThread alone;
  const int64_t lda = p.a_turned ? p.M : p.K, ldb = p.b_turned ? p.K : p.N, ldc = p.ldc > 0 ? p.ldc : p.N;
  cblas_sgemm(CblasRowMajor, p.a_turned ? CblasTrans : CblasNoTrans, p.b_turned ? CblasTrans : CblasNoTrans,
              static_cast<int>(block.M), static_cast<int>(block.N), static_cast<int>(p.K), 1,
              p.a + block.begin * (p.a_turned ? 1 : lda), static_cast<int>(std::max<int64_t>(1, lda)),
              p.b + block.first * (p.b_turned ? ldb : 1), static_cast<int>(std::max<int64_t>(1, ldb)),
              p.accumulate ? 1.0f : 0.0f, p.c + block.begin * ldc + block.first, static_cast<int>(ldc));
}

// Rows or columns of a block: each block packs the whole of the other operand, which short ones would not repay. For
// 1024^3 blocks of 512 reach 0.99 of the rate of OpenBLAS's own threads, blocks of 256 0.98.
constexpr int64_t kShortest = 512;
constexpr int64_t kBlocksPerThread = 4;
constexpr int64_t kUnit = 16;                 // a multiple of what OpenBLAS computes at once
constexpr int64_t kAlone = int64_t{1} << 18;  // products of a call that one thread computes as fast

}  // namespace

void blas_product(const BlasProduct& p) noexcept {
  const int64_t threads = thread_count();
  if (p.M == 0 || p.N == 0) return;
  if (threads == 1 || p.M * p.N * p.K < kAlone) return multiply(p, {0, p.M, 0, p.N});
  const bool by_rows = p.M >= p.N;
  const int64_t length = by_rows ? p.M : p.N;
  const int64_t blocks = std::clamp(length / kShortest, threads, threads * kBlocksPerThread) / threads * threads;
  const int64_t block = ((length + blocks - 1) / blocks + kUnit - 1) / kUnit * kUnit;
  parallel_runs(length, block, [&](int64_t begin, int64_t end) {
    multiply(p, by_rows ? Block{begin, end - begin, 0, p.N} : Block{0, p.M, begin, end - begin});
  });
}

}  // namespace rebased::kernels::cpu
