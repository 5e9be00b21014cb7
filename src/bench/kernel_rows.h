#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cores/quadratic_attention/kernel.h"

namespace rebased {

// One kernel on one shape, its operands at hand.
struct KernelCase {
  std::function<void()> forward, backward;  // backward: null where there is no gradient kernel
  std::function<double()> error;            // against the double reference, in units of its largest element
};

// Operations are the multiplications and additions of the cheapest exact form, whatever the kernel really does.
struct KernelRow {
  std::string name;
  double forward_operations = 0;
  double both_operations = 0;  // forward and gradient
  double tolerance = 0;        // of the error
  std::function<KernelCase()> make;
};

const std::vector<KernelRow>& kernel_rows();

struct AttentionSize {
  int64_t B, T, H, Dk, Dv;
};
KernelRow quadratic_row(const char* what, const kernels::QuadraticKernel& kernel, const AttentionSize& size);

}  // namespace rebased
