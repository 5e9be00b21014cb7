#include "cores/long_conv/kernel.h"

#include <algorithm>

namespace rebased::kernels::reference {

void long_conv(const LongConvArgs<double>& a) noexcept {
  for (int64_t b = 0; b < a.B; ++b) {
    for (int64_t t = 0; t < a.T; ++t) {
      for (int64_t c = 0; c < a.C; ++c) {
        double sum = 0;
        for (int64_t j = 0; j <= t; ++j) sum += a.filter[c * a.L + j] * a.x[(b * a.T + t - j) * a.C + c];
        a.y[(b * a.T + t) * a.C + c] = sum;
      }
    }
  }
}

void long_conv_grad(const LongConvGradArgs<double>& args) noexcept {
  const LongConvArgs<double>& a = args.forward;
  std::fill_n(args.dx, a.B * a.T * a.C, 0.0);
  std::fill_n(args.d_filter, a.C * a.L, 0.0);
  for (int64_t b = 0; b < a.B; ++b) {
    for (int64_t t = 0; t < a.T; ++t) {
      for (int64_t c = 0; c < a.C; ++c) {
        const double dy = args.dy[(b * a.T + t) * a.C + c];
        for (int64_t j = 0; j <= t; ++j) {
          const int64_t source = (b * a.T + t - j) * a.C + c;
          args.dx[source] += a.filter[c * a.L + j] * dy;
          args.d_filter[c * a.L + j] += a.x[source] * dy;
        }
      }
    }
  }
}

}  // namespace rebased::kernels::reference
