#pragma once

#include <memory>

#include "support/gradients.h"

namespace rebased::testing {

// The torch engine for tests that do not see torch themselves, since libtorch's headers are slow to compile; null in a
// build without libtorch.
std::unique_ptr<Engine> make_torch_engine(DType dtype, bool kernels = true, bool bf16_products = false);
bool bf16_products_are_widened();  // on the CPU: see mixed_precision::product

}  // namespace rebased::testing
