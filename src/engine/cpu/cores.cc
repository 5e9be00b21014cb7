// Cores on memory from the arena.

#include <utility>

#include "engine/cpu/core_arrays.h"
#include "engine/cpu/host_engine.h"

namespace rebased {
namespace {

// A state array that may be advanced where it lies: its own memory when nobody else holds it, else a fresh array.
Value advance_target(Engine& engine, const Value& state) {
  if (state.unique() && state.as<CpuValue>().exclusive()) return state;
  return engine.full(state.shape(), state.dtype(), 0);
}

}  // namespace

template <class Real>
std::vector<Value> HostEngine<Real>::make_results(const CoreUse& use, std::span<const Signature::Result> results) {
  std::vector<Value> made;
  made.reserve(results.size());
  for (const Signature::Result& result : results) made.push_back(make(use.dims.shape(result.shape)));
  return made;
}

template <class Real>
typename HostEngine<Real>::CoreOutputs HostEngine<Real>::compute(const CoreUse& use, std::span<const Value> operands,
                                                                 std::span<Value* const> states, bool keep) {
  const Signature& signature = use.core->signature();
  CoreOutputs outputs{make_results(use, signature.results), {}};
  if (keep) outputs.kept = make_results(use, signature.kept);
  std::vector<Value> advanced;
  advanced.reserve(states.size());
  CoreCall<Real> call = core_call<Real>(use, operands);
  point_to(outputs.results, call.results.data());
  point_to(outputs.kept, call.kept.data());
  for (size_t i = 0; i < states.size(); ++i) {
    call.before[i] = reals<Real>(*states[i]);
    call.after[i] = mutable_reals<Real>(advanced.emplace_back(advance_target(*this, *states[i])));
  }
  const int64_t wanted = use.core->scratch(call);
  const std::shared_ptr<void> work = wanted > 0 ? scratch(wanted) : nullptr;
  call.scratch = static_cast<Real*>(work.get());
  use.core->forward(call);
  for (size_t i = 0; i < states.size(); ++i) *states[i] = std::move(advanced[i]);
  return outputs;
}

template <class Real>
std::vector<Value> HostEngine<Real>::run(const CoreUse& use, std::span<const Value> operands,
                                         std::span<Value* const> states) {
  return compute(use, operands, states, false).results;
}

template class HostEngine<float>;
template class HostEngine<double>;

}  // namespace rebased
