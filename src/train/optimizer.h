#pragma once

#include <torch/torch.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/parameters.h"
#include "train/recipe.h"

namespace rebased {

// AdamW over the trainable parameters of a store on a TorchEngine (arXiv:1711.05101; kernels/adamw.h). Parameters
// without a gradient are left alone, decay included, as torch.optim.AdamW does.
class AdamW {
 public:
  AdamW(ParameterStore& parameters, const OptimizerRecipe& recipe);

  void zero_grad();
  // 2-norm of all gradients together, in double.
  double grad_norm() const;
  // One step at learning rate lr with gradients times grad_scale.
  void step(double lr, double grad_scale);
  int64_t steps() const { return steps_; }

  // For checkpoints: tensors "m.NAME" and "v.NAME" of every trainable parameter.
  struct Slot {
    std::string name;
    torch::Tensor tensor, m, v;  // of one shape
    bool decays;
    double lr_scale;
  };
  std::vector<Slot>& slots() { return slots_; }
  void set_steps(int64_t steps) { steps_ = steps; }

 private:
  void update(Slot& slot, double lr, double grad_scale) const;

  OptimizerRecipe recipe_;
  std::vector<Slot> slots_;
  int64_t steps_ = 0;
};

}  // namespace rebased
