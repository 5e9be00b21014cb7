#pragma once

#include <cstdint>

#include "kernels/cross_entropy.h"

namespace rebased::kernels::cpu {

// Narrow heads: products, maximum and exponential in one sweep over vocabulary tiles that stay in cache. BLAS is far
// below its rate there, because the sum over C is short.
int64_t cross_entropy_tiles_scratch(const CrossEntropyArgs<float>& args) noexcept;
void cross_entropy_tiles(const CrossEntropyArgs<float>& args) noexcept;

// Wide heads: logits of a block of rows, by BLAS or, of rounded operands, by bf16_product.
int64_t cross_entropy_blocks_scratch(const CrossEntropyArgs<float>& args) noexcept;
void cross_entropy_blocks(const CrossEntropyArgs<float>& args) noexcept;

}  // namespace rebased::kernels::cpu
