#include "kernels/bf16_product.h"

#include "base/dtype.h"

namespace rebased::kernels::reference {

void round_to_bf16(int64_t n, const float* x, double* rounded) noexcept {
  for (int64_t i = 0; i < n; ++i) rounded[i] = bf16_to_f32(f32_to_bf16(x[i]));
}

void bf16_product(const Bf16ProductArgs& args, double* product) noexcept {
  const auto a = [&](int64_t m, int64_t k) {
    return bf16_to_f32(f32_to_bf16(args.a[args.a_turned ? k * args.M + m : m * args.K + k]));
  };
  const auto b = [&](int64_t k, int64_t n) {
    const int64_t at = args.b_turned ? n * args.K + k : k * args.N + n;
    return bf16_to_f32(args.b ? f32_to_bf16(args.b[at]) : args.b_bf16[at]);
  };
  for (int64_t m = 0; m < args.M; ++m) {
    for (int64_t n = 0; n < args.N; ++n) {
      double sum = args.bias ? args.bias[n] : 0;
      for (int64_t k = 0; k < args.K; ++k) sum += static_cast<double>(a(m, k)) * b(k, n);
      product[m * args.N + n] = sum;
    }
  }
}

}  // namespace rebased::kernels::reference
