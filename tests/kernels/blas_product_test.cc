#include "kernels/blas_product.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <cmath>

#include "kernels/kernel_buffers.h"

namespace rebased::kernels {
namespace {

struct Sizes {
  int64_t M, N, K;
};

// One block, several of rows and of columns, lengths that are no multiple of a block, nothing to sum.
constexpr Sizes kSizes[] = {{1, 1, 1},     {7, 5, 0},      {33, 40, 17},  {1100, 70, 37}, {65, 1201, 40},
                            {3000, 9, 64}, {2, 5000, 300}, {513, 511, 3}, {0, 4, 4},      {4, 0, 4}};

void expect_product(const Sizes& sizes, bool a_turned, bool b_turned, bool accumulate) {
  const auto [M, N, K] = sizes;
  const int64_t ldc = N + 3;
  const Buffer<float> a = random_buffer(M * K, 1), b = random_buffer(K * N, 2);
  const Buffer<float> before = random_buffer(M * ldc, 3);
  Buffer<float> c(M * ldc);
  std::copy_n(before.data(), M * ldc, c.data());
  cpu::blas_product({.M = M,
                     .N = N,
                     .K = K,
                     .a = a.data(),
                     .a_turned = a_turned,
                     .b = b.data(),
                     .b_turned = b_turned,
                     .c = c.data(),
                     .accumulate = accumulate,
                     .ldc = ldc});
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t n = 0; n < ldc; ++n) {
      const double old = before.data()[m * ldc + n];
      double sum = n >= N || accumulate ? old : 0, size = std::abs(sum);
      for (int64_t k = 0; n < N && k < K; ++k) {
        const double product = static_cast<double>(a.data()[a_turned ? k * M + m : m * K + k]) *
                               static_cast<double>(b.data()[b_turned ? n * K + k : k * N + n]);
        sum += product;
        size += std::abs(product);
      }
      ASSERT_NEAR(c[m * ldc + n], sum, 0x1p-24 * static_cast<double>(K + 2) * size) << m << ", " << n;
    }
  }
}

TEST(BlasProduct, IsTheProductWhateverTheBlocks) {
  for_each_thread_count([] {
    for (const Sizes& sizes : kSizes) {
      for (int form = 0; form < 8; ++form) {
        SCOPED_TRACE(testing::Message() << sizes.M << " x " << sizes.N << " x " << sizes.K << ", form " << form);
        expect_product(sizes, (form & 1) != 0, (form & 2) != 0, (form & 4) != 0);
      }
    }
  });
}

TEST(BlasProduct, RepeatsBitForBitWithAThreadCount) {
  const int before = thread_count();
  set_thread_count(2);
  const Buffer<float> a = random_buffer(1100 * 300, 1), b = random_buffer(300 * 200, 2);
  auto product = [&] {
    Buffer<float> c(1100 * 200);
    cpu::blas_product({.M = 1100, .N = 200, .K = 300, .a = a.data(), .b = b.data(), .c = c.data()});
    return c.values();
  };
  const std::vector<float> first = product();
  for (int round = 0; round < 20; ++round) EXPECT_EQ(product(), first);
  set_thread_count(before);
}

TEST(BlasProduct, LeavesTheThreadsOfOpenMPAsTheyWere) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(3);
  expect_product({300, 300, 300}, false, true, false);
  EXPECT_EQ(omp_get_max_threads(), 3);
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace rebased::kernels
