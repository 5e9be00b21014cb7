#include "engine/torch/core_function.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "engine/torch/kernel_tensors.h"

namespace rebased {
namespace {

using kernel_functions::AutogradContext;
using kernel_functions::dense;
using kernel_functions::tensor_list;
using torch::Tensor;

// What travels through autograd beside the tensors, which it takes in one list of those that are defined.
struct Held : torch::CustomClassHolder {
  Held(const CoreUse& use_of, size_t state_count) : use(use_of), states(state_count) {}
  const Signature& signature() const { return use.core->signature(); }

  CoreUse use;
  size_t states;
  std::vector<bool> given;  // of operands
};

torch::TensorOptions numbers() { return torch::TensorOptions().dtype(torch::kFloat32); }

template <class Pointer>
void point_to(const tensor_list& tensors, Pointer* pointers) {
  std::transform(tensors.begin(), tensors.end(), pointers,
                 [](const Tensor& x) { return x.defined() ? static_cast<Pointer>(x.data_ptr()) : nullptr; });
}

tensor_list make_results(const CoreUse& use, const std::vector<Signature::Result>& results) {
  tensor_list made;
  for (const Signature::Result& result : results) {
    const Shape shape = use.dims.shape(result.shape);
    made.push_back(torch::empty({shape.begin(), static_cast<size_t>(shape.rank())}, numbers()));
  }
  return made;
}

// The next `given.size()` operands off a list of defined ones.
tensor_list operands_from(const std::vector<bool>& given, tensor_list::const_iterator& next) {
  tensor_list operands;
  for (const bool is_given : given) operands.push_back(is_given ? *next++ : Tensor());
  return operands;
}

class CoreFunction : public torch::autograd::Function<CoreFunction> {
 public:
  static tensor_list forward(AutogradContext* ctx, const c10::intrusive_ptr<Held>& held, at::TensorList tensors) {
    ctx->set_materialize_grads(false);
    tensor_list all;
    for (const Tensor& tensor : tensors) all.push_back(dense(tensor));
    auto next = all.cbegin();
    const tensor_list operands = operands_from(held->given, next), before(next, all.cend());
    const Signature& signature = held->signature();
    const tensor_list results = make_results(held->use, signature.results),
                      kept = make_results(held->use, signature.kept);
    tensor_list after;
    for (const Tensor& state : before) after.push_back(torch::empty_like(state));
    CoreCall<float> call;
    call.dims = &held->use.dims;
    point_to(operands, call.operands.data());
    point_to(before, call.before.data());
    point_to(after, call.after.data());
    point_to(results, call.results.data());
    point_to(kept, call.kept.data());
    const Tensor work = kernel_functions::scratch(held->use.core->scratch(call));
    call.scratch = work.data_ptr<float>();
    held->use.core->forward(call);
    save(ctx, *held, operands, before, results, kept);
    ctx->saved_data["held"] = c10::IValue::make_capsule(held);
    tensor_list outputs = results;
    outputs.insert(outputs.end(), after.begin(), after.end());
    return outputs;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list grads) {
    const auto capsule = ctx->saved_data["held"].toCapsule();
    const auto& held = static_cast<const Held&>(*capsule);
    const Signature& signature = held.signature();
    kernel_functions::refuse_double_backward(signature.name);
    const tensor_list saved = ctx->get_saved_variables();
    const size_t operands = signature.operands.size(), results = signature.results.size(), states = held.states;
    CoreGradCall<float> call;
    call.forward.dims = &held.use.dims;
    auto next = saved.cbegin();
    const auto take = [&next](size_t n) {
      return tensor_list(std::exchange(next, next + static_cast<int64_t>(n)), next);
    };
    const tensor_list saved_operands = take(operands), before = take(states), saved_results = take(results),
                      kept = take(signature.kept.size());
    point_to(saved_operands, call.forward.operands.data());
    point_to(before, call.forward.before.data());
    point_to(saved_results, call.forward.results.data());
    point_to(kept, call.forward.kept.data());
    tensor_list d_results, d_after, d_operands, d_before;
    for (size_t i = 0; i < results; ++i)
      d_results.push_back(gradient_or_zeros(held.use, signature.results[i], grads[i]));
    for (size_t i = 0; i < states; ++i) d_after.push_back(dense(grads[results + i]));
    for (size_t i = 0; i < states; ++i) d_before.push_back(torch::empty_like(before[i]));
    for (size_t i = 0; i < operands; ++i) d_operands.push_back(own_gradient(held, grads, i));
    point_to(d_results, call.d_results.data());
    point_to(d_after, call.d_after.data());
    point_to(d_operands, call.d_operands.data());
    point_to(d_before, call.d_before.data());
    const Tensor work = kernel_functions::scratch(held.use.core->scratch(call));
    call.scratch = work.data_ptr<float>();
    held.use.core->backward(call);
    return given_gradients(held, d_operands, d_before);
  }

 private:
  static void save(AutogradContext* ctx, const Held& held, const tensor_list& operands, const tensor_list& before,
                   const tensor_list& results, const tensor_list& kept) {
    const Signature& signature = held.signature();
    tensor_list saved;
    for (size_t i = 0; i < operands.size(); ++i) {
      saved.push_back(signature.operands[i].in_gradient ? operands[i] : Tensor());
    }
    saved.insert(saved.end(), before.begin(), before.end());
    for (size_t i = 0; i < results.size(); ++i) {
      saved.push_back(signature.results[i].in_gradient ? results[i] : Tensor());
    }
    saved.insert(saved.end(), kept.begin(), kept.end());
    ctx->save_for_backward(saved);
  }

  static Tensor gradient_or_zeros(const CoreUse& use, const Signature::Result& result, const Tensor& known) {
    if (known.defined() || result.d_optional) return dense(known);
    return make_results(use, {result}).front().zero_();
  }

  // Memory for the gradient of an operand that has one of its own, by the gradients of the results.
  static Tensor own_gradient(const Held& held, const tensor_list& grads, size_t i) {
    const Signature::Operand& operand = held.signature().operands[i];
    if (!held.given[i] || operand.ids || operand.d_is_that_of >= 0) return {};
    if (operand.reaches >= 0 && !grads[static_cast<size_t>(operand.reaches)].defined()) return {};
    return make_results(held.use, {{operand.name, operand.shape}}).front();
  }

  // In the order of forward's arguments: none for `held`, then one for each tensor of the list.
  static tensor_list given_gradients(const Held& held, const tensor_list& d_operands, const tensor_list& d_before) {
    tensor_list gradients{Tensor()};
    for (size_t i = 0; i < d_operands.size(); ++i) {
      const int other = held.signature().operands[i].d_is_that_of;
      if (held.given[i]) gradients.push_back(d_operands[other < 0 ? i : static_cast<size_t>(other)]);
    }
    gradients.insert(gradients.end(), d_before.begin(), d_before.end());
    return gradients;
  }
};

}  // namespace

std::vector<Tensor> run_core_kernels(const CoreUse& use, const std::vector<Tensor>& operands,
                                     std::vector<Tensor>& states) {
  const auto held = c10::make_intrusive<Held>(use, states.size());
  tensor_list defined;
  for (const Tensor& operand : operands) {
    held->given.push_back(operand.defined());
    if (operand.defined()) defined.push_back(operand);
  }
  defined.insert(defined.end(), states.begin(), states.end());
  tensor_list outputs = CoreFunction::apply(held, at::TensorList(defined));
  const auto results = outputs.begin() + static_cast<int64_t>(use.core->signature().results.size());
  states.assign(results, outputs.end());
  outputs.erase(results, outputs.end());
  return outputs;
}

}  // namespace rebased
