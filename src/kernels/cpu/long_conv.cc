#include "base/threads.h"
#include "kernels/dense.h"

namespace rebased::kernels::cpu {

void sum_rows(int64_t N, int64_t C, const float* x, float* y) noexcept {
  parallel_for(N, 1 + 16384 / (C + 1), [&](int64_t begin, int64_t end) {
    for (int64_t n = begin; n < end; ++n) {
      float sum = 0;
      for (int64_t c = 0; c < C; ++c) sum += x[n * C + c];
      y[n] = sum;
    }
  });
}

// Direct and simple: it serves prompts and tests; training on long filters goes through the FFT of the torch engine.
void long_conv(int64_t B, int64_t T, int64_t C, int64_t L, const float* x, const float* filter, float* y) noexcept {
  parallel_for(B * C, 1, [&](int64_t begin, int64_t end) {
    for (int64_t lane = begin; lane < end; ++lane) {
      const int64_t b = lane / C, c = lane % C;
      for (int64_t t = 0; t < T; ++t) {
        float sum = 0;
        for (int64_t j = 0; j <= t; ++j) sum += filter[c * L + j] * x[(b * T + t - j) * C + c];
        y[(b * T + t) * C + c] = sum;
      }
    }
  });
}

}  // namespace rebased::kernels::cpu
