#pragma once

#include "kernels/bf16_product.h"

namespace rebased::kernels::cpu {

// bf16_product where the processor has no instructions for it: rounded numbers multiplied by BLAS, block by block.
int64_t rounded_product_scratch(const Bf16ProductArgs& args) noexcept;
void rounded_product(const Bf16ProductArgs& args) noexcept;

}  // namespace rebased::kernels::cpu
