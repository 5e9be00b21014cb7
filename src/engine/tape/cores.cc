// Cores and their gradients.

#include <optional>
#include <utility>

#include "engine/cpu/core_arrays.h"
#include "engine/tape/recording_engine.h"

namespace rebased {

// One recorded use of a core: what backward reads of it.
template <class Real>
struct RecordingEngine<Real>::CoreRecord {
  CoreUse use;
  std::vector<Value> operands{}, before{}, results{}, kept{};  // empty where backward does not read them
  std::vector<std::optional<Shape>> operand_shapes{};          // of those that were given

  CoreCall<Real> forward_call() const {
    CoreCall<Real> call = core_call<Real>(use, operands);
    point_to(before, call.before.data());
    point_to(results, call.results.data());
    point_to(kept, call.kept.data());
    return call;
  }
};

template <class Real>
std::vector<Value> RecordingEngine<Real>::run(const CoreUse& use, std::span<const Value> operands,
                                              std::span<Value* const> states) {
  std::vector<Value> inputs(operands.begin(), operands.end());
  for (const Value* state : states) inputs.push_back(*state);
  std::vector<TapeNode::Edge> from = edges(inputs);
  if (from.empty()) return Host::run(use, operands, states);
  inputs.clear();
  const Signature& signature = use.core->signature();
  CoreRecord kept_of{.use = use};
  for (size_t i = 0; i < operands.size(); ++i) {
    const bool read = signature.operands[i].in_gradient;
    kept_of.operands.push_back(read ? without_history(operands[i]) : Value());
    kept_of.operand_shapes.push_back(operands[i] ? std::optional(operands[i].shape()) : std::nullopt);
  }
  for (const Value* state : states) kept_of.before.push_back(without_history(*state));
  typename Host::CoreOutputs outputs = this->compute(use, operands, states, true);
  for (size_t i = 0; i < outputs.results.size(); ++i) {
    kept_of.results.push_back(signature.results[i].in_gradient ? without_history(outputs.results[i]) : Value());
  }
  kept_of.kept = std::move(outputs.kept);
  std::vector<Value*> made;
  for (Value& result : outputs.results) made.push_back(&result);
  made.insert(made.end(), states.begin(), states.end());
  record(std::move(from), made, [this, kept_of = std::move(kept_of)](Slopes& slopes) { give_core(slopes, kept_of); });
  return std::move(outputs.results);
}

template <class Real>
void RecordingEngine<Real>::give_core(Slopes& slopes, const CoreRecord& of) {
  const Signature& signature = of.use.core->signature();
  const size_t results = signature.results.size(), operands = signature.operands.size();
  CoreGradCall<Real> call;
  call.forward = of.forward_call();
  std::vector<Value> d_results, d_after, d_operands(operands), d_before;
  std::vector<bool> reached;  // results that something depends on
  for (size_t i = 0; i < results; ++i) {
    const Value& known = d_results.emplace_back(std::move(slopes.of(static_cast<int>(i))));
    reached.push_back(static_cast<bool>(known));
    if (!known && !signature.results[i].d_optional)
      d_results.back() = zeros(of.use.dims.shape(signature.results[i].shape));
  }
  for (size_t i = 0; i < of.before.size(); ++i) {
    d_after.push_back(std::move(slopes.of(static_cast<int>(results + i))));
    d_before.push_back(make(of.before[i].shape()));
  }
  for (size_t i = 0; i < operands; ++i) {
    const Signature::Operand& operand = signature.operands[i];
    const std::optional<Shape>& shape = of.operand_shapes[i];
    if (operand.reaches >= 0 && !reached[static_cast<size_t>(operand.reaches)]) continue;
    if (shape && !operand.ids && operand.d_is_that_of < 0) d_operands[i] = make(*shape);
  }
  point_to(d_results, call.d_results.data());
  point_to(d_after, call.d_after.data());
  point_to(d_operands, call.d_operands.data());
  point_to(d_before, call.d_before.data());
  const std::shared_ptr<void> work = scratch(of.use.core->scratch(call));
  call.scratch = static_cast<Real*>(work.get());
  of.use.core->backward(call);
  for (size_t i = 0; i < operands; ++i) {
    const int other = signature.operands[i].d_is_that_of;
    slopes.give(static_cast<int>(i), d_operands[other < 0 ? i : static_cast<size_t>(other)]);
  }
  for (size_t i = 0; i < d_before.size(); ++i) slopes.give(static_cast<int>(operands + i), d_before[i]);
}

template class RecordingEngine<float>;
template class RecordingEngine<double>;

}  // namespace rebased
