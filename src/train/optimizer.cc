#include "train/optimizer.h"

#include <array>
#include <cmath>

#include "updates/adamw/adamw.h"

namespace rebased {
namespace {

bool decays(WeightDecay decay, const OptimizerRecipe& recipe) {
  return decay == WeightDecay::kAlways || (decay == WeightDecay::kWithAll && recipe.decay == "all");
}

}  // namespace

AdamW::AdamW(ParameterStore& parameters, Engine& engine, const OptimizerRecipe& recipe)
    : recipe_(recipe), autograd_(*engine.autograd()) {
  for (Param& param : parameters.params()) {
    if (!param.spec.trainable) continue;
    autograd_.track(param.value);
    auto zeros = [&] { return engine.full(param.spec.shape, engine.compute_dtype(), 0); };
    slots_.push_back({&param, zeros(), zeros(), decays(param.spec.group.decay, recipe)});
  }
}

void AdamW::zero_grad() {
  for (Slot& slot : slots_) autograd_.clear_gradient(slot.param->value);
}

double AdamW::grad_norm() const {
  double squares = 0;
  for (const Slot& slot : slots_) {
    if (const Value grad = gradient(slot)) squares += autograd_.sum_of_squares(grad);
  }
  return std::sqrt(squares);
}

void AdamW::step(double lr, double grad_scale) {
  ++steps_;
  for (Slot& slot : slots_) {
    const Value grad = gradient(slot);
    if (!grad) continue;
    const AdamWUpdate update({.step = steps_,
                              .lr = lr * slot.param->spec.group.lr_scale,
                              .beta1 = recipe_.beta1,
                              .beta2 = recipe_.beta2,
                              .eps = recipe_.eps,
                              .weight_decay = slot.decays ? recipe_.weight_decay : 0,
                              .grad_scale = grad_scale});
    autograd_.update(update, std::array{slot.param->value, grad, slot.m, slot.v});
  }
}

void AdamW::restart(int64_t steps) {
  steps_ = steps;
  for (Slot& slot : slots_) autograd_.track(slot.param->value);
}

}  // namespace rebased
