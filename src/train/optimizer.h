#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/autograd.h"
#include "engine/engine.h"
#include "store/parameters.h"
#include "train/recipe.h"

namespace rebased {

// AdamW over the trainable parameters of a store on an engine with autograd (arXiv:1711.05101; updates/adamw/kernel.h).
// Parameters without a gradient are left alone, decay included, as torch.optim.AdamW does. What a parameter's group
// says of decay and learning rate holds.
class AdamW {
 public:
  // Tracks the parameters' values, which must be there.
  AdamW(ParameterStore& parameters, Engine& engine, const OptimizerRecipe& recipe);

  void zero_grad();
  // 2-norm of all gradients together, in double.
  double grad_norm() const;
  // One step at learning rate lr with gradients times grad_scale.
  void step(double lr, double grad_scale);
  int64_t steps() const { return steps_; }

  // For checkpoints: tensors "m.NAME" and "v.NAME" of every trainable parameter.
  struct Slot {
    Param* param;
    Value m, v;  // of the parameter's shape
    bool decays;
  };
  std::vector<Slot>& slots() { return slots_; }
  Value gradient(const Slot& slot) const { return autograd_.gradient(slot.param->value); }
  // Goes on from a checkpoint: the parameters' values were replaced, and so many steps were done.
  void restart(int64_t steps);

 private:
  OptimizerRecipe recipe_;
  Autograd& autograd_;
  std::vector<Slot> slots_;
  int64_t steps_ = 0;
};

}  // namespace rebased
