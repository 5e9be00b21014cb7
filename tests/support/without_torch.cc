#include "support/torch.h"

namespace rebased::testing {

std::unique_ptr<Engine> make_torch_engine(DType /*dtype*/, bool /*kernels*/, bool /*bf16_products*/) { return nullptr; }

bool bf16_products_are_widened() { return false; }

}  // namespace rebased::testing
