#pragma once

#include "engine/update.h"

namespace rebased {

// One step of AdamW with gradients times grad_scale (arXiv:1711.05101): updates/adamw/kernel.h. Its arrays: the
// parameter, its gradient, and the moments m and v.
struct AdamWStep {
  int64_t step = 1;  // 1 for the first update
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  double grad_scale = 1;
};

class AdamWUpdate : public Update {
 public:
  explicit AdamWUpdate(const AdamWStep& given) : step(given) {}

  const char* folder() const override { return "adamw"; }
  void run(int64_t n, std::span<float* const> arrays) const override;
  void run(int64_t n, std::span<double* const> arrays) const override;

  const AdamWStep step;
};

}  // namespace rebased
