#include "engine/core.h"

#include <algorithm>

#include "base/error.h"
#include "engine/engine.h"

namespace rebased {
namespace {

void check_element(const char* op, const char* name, const Value& x, const Value& other, bool ids) {
  const DType wanted = ids ? DType::kI64 : x.engine().compute_dtype();
  if (x.dtype() != wanted) {
    throw ShapeError("[{}] {}: expected dtype {}, found {}", op, name, dtype_name(wanted), dtype_name(x.dtype()));
  }
  if (&x.engine() != &other.engine()) {
    throw ShapeError("[{}] {}: lives on engine {}, the other operands on {}", op, name, x.engine().name(),
                     other.engine().name());
  }
}

const Shape* shape_or_null(const Value& x) { return x ? &x.shape() : nullptr; }

}  // namespace

CoreUse bind_core(std::shared_ptr<const Core> core, std::span<const Shape* const> operands,
                  std::span<const Shape* const> states) {
  const Signature& signature = core->signature();
  CoreUse use{std::move(core), Dims(signature.name)};
  for (size_t i = 0; i < signature.operands.size(); ++i) {
    const Signature::Operand& operand = signature.operands[i];
    if (operands[i] != nullptr) {
      use.dims.check(operand.name, *operands[i], operand.shape);
    } else if (!operand.optional) {
      throw ShapeError("[{}] {}: a value is needed", signature.name, operand.name);
    }
  }
  use.core->complete(use.dims);
  for (size_t i = 0; i < states.size(); ++i) {
    use.dims.check(signature.states[i].name, *states[i], signature.states[i].shape);
  }
  return use;
}

std::vector<Value> run_core(std::shared_ptr<const Core> core, std::initializer_list<Value> operands,
                            std::initializer_list<Value*> states) {
  const Signature& signature = core->signature();
  const auto some = [](const Value* state) { return state != nullptr; };
  const bool stateful = std::any_of(states.begin(), states.end(), some);
  std::array<const Shape*, CoreCall<float>::kMost> shapes{}, state_shapes{};
  const Value& first = *operands.begin();
  for (size_t i = 0; i < operands.size(); ++i) {
    const Value& x = operands.begin()[i];
    shapes[i] = shape_or_null(x);
    if (x && first) check_element(signature.name, signature.operands[i].name, x, first, signature.operands[i].ids);
  }
  for (size_t i = 0; stateful && i < states.size(); ++i) {
    const Value* state = states.begin()[i];
    if (state == nullptr || !*state)
      throw ShapeError("[{}] {}: a value is needed", signature.name, signature.states[i].name);
    if (first) check_element(signature.name, signature.states[i].name, *state, first, false);
    state_shapes[i] = &state->shape();
  }
  const size_t count = stateful ? states.size() : 0;
  const CoreUse use = bind_core(std::move(core), {shapes.data(), operands.size()}, {state_shapes.data(), count});
  return first.engine().run(use, {operands.begin(), operands.size()}, {states.begin(), count});
}

}  // namespace rebased
