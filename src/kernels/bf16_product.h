#pragma once

#include <cstdint>

namespace rebased::kernels {

// Products of float32 matrices whose numbers are first rounded to bfloat16, to nearest, ties to even. The product of
// two such numbers is exact, sums are float32. NaN in, NaN out.
//   c[M, N] = op(a) op(b) + bias, or that added to c; rows of c are ldc apart, all else is dense.
// The products of a linear layer y = x w^T, x [rows, I], w [O, I]:
//   y = x w^T    a = x, b = w turned
//   dx = dy w    a = dy, b = w
//   dw = dy^T x  a = dy turned, b = x
struct Bf16ProductArgs {
  int64_t M = 0, N = 0, K = 0;
  const float* a = nullptr;  // [M, K], or [K, M] where a_turned
  bool a_turned = false;
  const float* b = nullptr;          // [K, N], or [N, K] where b_turned
  const uint16_t* b_bf16 = nullptr;  // or the same as the bits of bfloat16, where b is null
  bool b_turned = false;
  const float* bias = nullptr;  // [N] or null
  float* c = nullptr;
  int64_t ldc = 0;
  bool accumulate = false;
  float* scratch = nullptr;  // bf16_product_scratch(args) elements
};

namespace reference {
void round_to_bf16(int64_t n, const float* x, double* rounded) noexcept;
void bf16_product(const Bf16ProductArgs& args, double* product) noexcept;  // [M, N]: op(a) op(b) + bias
}  // namespace reference

namespace cpu {

// Whether the processor multiplies bfloat16 itself (AVX-512 BF16) and may: AVX3 is among the allowed instruction sets.
// Its instructions take a number below 2^-126 for zero and give zero for one. Elsewhere the rounded numbers are
// multiplied by BLAS in float32.
bool has_bf16_products() noexcept;
void allow_bf16(bool allowed) noexcept;  // for tests

// x -> the nearest bfloat16 numbers, as float32. One thread. y may be x.
void round_to_bf16(int64_t n, const float* x, float* y) noexcept;

int64_t bf16_product_scratch(const Bf16ProductArgs& args) noexcept;
void bf16_product(const Bf16ProductArgs& args) noexcept;

}  // namespace cpu

}  // namespace rebased::kernels
