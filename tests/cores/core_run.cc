#include "cores/core_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/rng.h"
#include "kernels/kernel_buffers.h"

namespace rebased::testing {
namespace {

using kernels::Buffer;

Numbers normal(int64_t n, Rng& rng) {
  Numbers numbers(static_cast<size_t>(n));
  for (double& x : numbers) x = static_cast<float>(rng.normal());
  return numbers;
}

const Signature& signature_of(const CoreInputs& in) { return in.use.core->signature(); }

int64_t numel(const CoreInputs& in, const char* pattern) { return in.use.dims.shape(pattern).numel(); }

// The shapes of a case's operands by its own dimensions, so that binding them is tested too.
Shape shape_of(const CoreCase& c, const std::string& pattern) {
  std::vector<int64_t> extents;
  for (size_t at = 0; at < pattern.size();) {
    const size_t end = std::min(pattern.find(' ', at), pattern.size());
    extents.push_back(c.dims.at(pattern.substr(at, end - at)));
    at = end + 1;
  }
  return Shape(extents);
}

CoreUse bound(const CoreCase& c) {
  std::vector<Shape> shapes;
  std::vector<const Shape*> given, states;
  const Signature& signature = c.core->signature();
  for (const Signature::Operand& operand : signature.operands) shapes.push_back(shape_of(c, operand.shape));
  for (size_t i = 0; i < shapes.size(); ++i) {
    given.push_back(c.has(signature.operands[i]) ? &shapes[i] : nullptr);
  }
  return bind_core(c.core, given, states);
}

// Results and states after `tokens` of the case from a fresh start.
std::vector<Numbers> states_after(CoreCase c, int64_t tokens, uint64_t key) {
  c.states = false;
  c.ids = {};
  c.dims["T"] = tokens;
  const CoreInputs past = inputs_of(c, key);
  const Signature& signature = signature_of(past);
  std::vector<Numbers> states, results;
  CoreCall<double> call;
  call.dims = &past.use.dims;
  for (size_t i = 0; i < past.operands.size(); ++i) {
    call.operands[i] = past.operands[i] ? past.operands[i]->data() : nullptr;
  }
  for (const Signature::Result& result : signature.results) results.emplace_back(numel(past, result.shape));
  for (const Signature::State& state : signature.states) states.emplace_back(numel(past, state.shape));
  for (size_t i = 0; i < results.size(); ++i) call.results[i] = results[i].data();
  for (size_t i = 0; i < states.size(); ++i) call.after[i] = states[i].data();
  past.use.core->forward(call);
  for (Numbers& state : states) {
    for (double& x : state) x = static_cast<float>(x);
  }
  return states;
}

// Arrays of a call, of floats with guards or of doubles.
template <class Real>
class Arrays {
 public:
  Real* add(const std::string& name, bool gradient, int64_t n) {
    names_.push_back({name, gradient, {}});
    return arrays_.emplace_back(Buffer<Real>(n)).data();
  }
  Real* copy(const Numbers& numbers) {
    Buffer<Real>& buffer = inputs_.emplace_back(Buffer<Real>(static_cast<int64_t>(numbers.size())));
    std::copy(numbers.begin(), numbers.end(), buffer.data());
    return buffer.data();
  }
  Real* scratch(int64_t n) { return inputs_.emplace_back(Buffer<Real>(n)).data(); }
  CoreOutputs outputs() const {
    CoreOutputs outputs{names_};
    for (size_t i = 0; i < names_.size(); ++i) outputs.arrays[i].numbers = arrays_[i].doubles();
    return outputs;
  }

 private:
  std::vector<CoreOutputs::Array> names_;
  std::vector<Buffer<Real>> arrays_, inputs_;
};

template <class Real>
void fill_forward(const CoreInputs& in, const KernelOptions& options, Arrays<Real>& arrays, CoreCall<Real>& call) {
  const Signature& signature = signature_of(in);
  call.dims = &in.use.dims;
  for (size_t i = 0; i < in.operands.size(); ++i) {
    if (in.operands[i]) call.operands[i] = arrays.copy(*in.operands[i]);
    if (!in.ids[i].empty()) call.operands[i] = in.ids[i].data();
  }
  for (size_t i = 0; i < in.before.size(); ++i) {
    Real* after =
        arrays.add(fmt::format("{} after", signature.states[i].name), false, static_cast<int64_t>(in.before[i].size()));
    if (options.in_place) std::copy(in.before[i].begin(), in.before[i].end(), after);
    call.before[i] = options.in_place ? after : arrays.copy(in.before[i]);
    call.after[i] = after;
  }
  for (size_t i = 0; i < signature.results.size(); ++i) {
    call.results[i] = arrays.add(signature.results[i].name, false, numel(in, signature.results[i].shape));
  }
  for (size_t i = 0; options.backward && i < signature.kept.size(); ++i) {
    call.kept[i] = arrays.add(signature.kept[i].name, false, numel(in, signature.kept[i].shape));
  }
}

template <class Real>
void fill_backward(const CoreInputs& in, Arrays<Real>& arrays, const CoreCall<Real>& forward,
                   CoreGradCall<Real>& call) {
  const Signature& signature = signature_of(in);
  call.forward = forward;
  call.forward.scratch = nullptr;
  for (size_t i = 0; i < in.before.size(); ++i) {
    call.forward.before[i] = arrays.copy(in.before[i]);
    call.forward.after[i] = nullptr;
    call.d_after[i] = arrays.copy(in.d_after[i]);
    call.d_before[i] =
        arrays.add(fmt::format("d_{}", signature.states[i].name), true, static_cast<int64_t>(in.before[i].size()));
  }
  for (size_t i = 0; i < signature.results.size(); ++i) {
    call.d_results[i] = arrays.copy(in.d_results[i]);
    if (!signature.results[i].in_gradient) call.forward.results[i] = nullptr;
  }
  for (size_t i = 0; i < in.operands.size(); ++i) {
    const Signature::Operand& operand = signature.operands[i];
    if (in.operands[i] && operand.d_is_that_of < 0) {
      call.d_operands[i] =
          arrays.add(fmt::format("d_{}", operand.name), true, static_cast<int64_t>(in.operands[i]->size()));
    }
    if (!operand.in_gradient) call.forward.operands[i] = nullptr;
  }
}

}  // namespace

std::string CoreCase::str() const {
  std::string text = core->signature().name;
  for (const auto& [symbol, extent] : dims) text += fmt::format(" {}={}", symbol, extent);
  if (ids) text += " with ids";
  if (!absent.empty()) text += fmt::format(" without {}", fmt::join(absent, ", "));
  return text + (states ? " with states" : "");
}

CoreInputs inputs_of(const CoreCase& c, uint64_t key) {
  Rng rng(mix64(key));
  CoreInputs in{.use = bound(c), .operands = {}, .ids = {}, .before = {}, .d_results = {}, .d_after = {}};
  const Signature& signature = signature_of(in);
  for (const Signature::Operand& operand : signature.operands) {
    in.operands.emplace_back();
    in.ids.emplace_back();
    if (!c.has(operand)) continue;
    const int64_t n = numel(in, operand.shape);
    if (operand.ids) {
      in.ids.back() = c.ids(operand.name, n);
      continue;
    }
    in.operands.back() = normal(n, rng);
    if (const auto map = c.mapped.find(operand.name); map != c.mapped.end()) {
      for (double& x : *in.operands.back()) x = static_cast<float>(map->second(x));
    }
    if (!c.positive.contains(operand.name)) continue;
    for (double& x : *in.operands.back()) x = std::abs(x);
  }
  if (c.states) {
    in.before = states_after(c, 3, key + 1);
    for (const Numbers& state : in.before) in.d_after.push_back(normal(static_cast<int64_t>(state.size()), rng));
  }
  for (const Signature::Result& result : signature.results)
    in.d_results.push_back(normal(numel(in, result.shape), rng));
  return in;
}

const Numbers& CoreOutputs::at(const std::string& name) const {
  for (const Array& array : arrays) {
    if (array.name == name) return array.numbers;
  }
  throw std::out_of_range(name);
}

CoreOutputs run_reference(const CoreInputs& in) {
  Arrays<double> arrays;
  CoreCall<double> forward;
  fill_forward(in, {}, arrays, forward);
  in.use.core->forward(forward);
  CoreGradCall<double> backward;
  fill_backward(in, arrays, forward, backward);
  in.use.core->backward(backward);
  return arrays.outputs();
}

CoreOutputs run_kernel(const CoreInputs& in, const KernelOptions& options) {
  Arrays<float> arrays;
  CoreCall<float> forward;
  fill_forward(in, options, arrays, forward);
  forward.scratch = arrays.scratch(in.use.core->scratch(forward));
  in.use.core->forward(forward);
  if (!options.backward) return arrays.outputs();
  CoreGradCall<float> backward;
  fill_backward(in, arrays, forward, backward);
  backward.scratch = arrays.scratch(in.use.core->scratch(backward));
  in.use.core->backward(backward);
  return arrays.outputs();
}

double reference_loss(const CoreInputs& in) {
  Arrays<double> arrays;
  CoreCall<double> forward;
  fill_forward(in, {}, arrays, forward);
  in.use.core->forward(forward);
  const Signature& signature = signature_of(in);
  const CoreOutputs outputs = arrays.outputs();
  double loss = 0;
  const auto add = [&](const Numbers& numbers, const Numbers& weights) {
    for (size_t i = 0; i < numbers.size(); ++i) loss += numbers[i] * weights[i];
  };
  for (size_t i = 0; i < in.d_results.size(); ++i) add(outputs.at(signature.results[i].name), in.d_results[i]);
  for (size_t i = 0; i < in.d_after.size(); ++i) {
    add(outputs.at(fmt::format("{} after", signature.states[i].name)), in.d_after[i]);
  }
  return loss;
}

}  // namespace rebased::testing
