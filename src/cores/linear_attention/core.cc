#include "base/error.h"
#include "cores/linear_attention/binding.h"
#include "cores/linear_attention/kernel.h"
#include "cores/linear_attention/linear_attention.h"

namespace rebased {
namespace {

using namespace kernels;

template <class Real>
LinearAttentionArgs<Real> args(const CoreCall<Real>& call, const LinearAttentionCore& core) {
  auto args = sums_args<LinearAttentionArgs<Real>>(call, core.options);
  args.F = call["F"];
  args.decay = core.decay;
  if (core.decay == Decay::kNone) return args;
  args.log_decay = call.in(4), args.bonus = call.in(5);
  return args;
}

template <class Real>
LinearAttentionGradArgs<Real> args(const CoreGradCall<Real>& call, const LinearAttentionCore& core) {
  auto grad = sums_grad_args<LinearAttentionGradArgs<Real>>(call, args(call.forward, core));
  if (core.decay == Decay::kNone) return grad;
  grad.d_log_decay = call.d_operands[4], grad.d_bonus = call.d_operands[5];
  return grad;
}

Signature plain_signature() {
  return {
      .name = "linear_attention",
      .operands = {{.name = "q", .shape = "B T H F"},
                   {.name = "k", .shape = "B T H F"},
                   {.name = "v", .shape = "B T H Dv"},
                   {.name = "positions", .shape = "B T", .optional = true, .ids = true}},
      .states = {{.name = "state.s", .shape = "B H F Dv"}, {.name = "state.z", .shape = "B H F"}},
      .results = {{.name = "o", .shape = "B T H Dv", .in_gradient = true}},
      .kept = {{.name = "z", .shape = "B T H"}},
  };
}

// `log_decay`: its shape.
Signature decayed_signature(const char* log_decay, bool normalize) {
  Signature signature = plain_signature();
  signature.operands.push_back({.name = "log_decay", .shape = log_decay});
  signature.operands.push_back({.name = "bonus", .shape = "H F", .optional = true});
  if (normalize) return signature;
  signature.states.pop_back();
  signature.kept.clear();
  return signature;
}

constexpr const char* kDecayShapes[] = {"", "H", "B T H", "B T H F"};  // in the order of Decay

Decay decay_of(const Value& log) {
  if (!log) throw ShapeError("[linear_attention] log_decay: a value is needed");
  switch (log.shape().rank()) {
    case 1:
      return Decay::kHead;
    case 3:
      return Decay::kToken;
    case 4:
      return Decay::kFeature;
    default:
      throw ShapeError("[linear_attention] log_decay: expected [H], [B, T, H] or [B, T, H, F], found {}",
                       log.shape().str());
  }
}

}  // namespace

const Signature& LinearAttentionCore::signature() const {
  static const Signature plain = plain_signature();
  static const std::vector<Signature> decayed = [] {
    std::vector<Signature> all;
    for (const char* shape : kDecayShapes) {
      for (const bool normalize : {false, true}) all.push_back(decayed_signature(shape, normalize));
    }
    return all;
  }();
  if (decay == Decay::kNone) return plain;
  return decayed[2 * static_cast<size_t>(decay) + (options.normalize ? 1 : 0)];
}

void LinearAttentionCore::complete(Dims& dims) const {
  if (dims["F"] < 1) throw ShapeError("[linear_attention] F: expected at least 1, found {}", dims["F"]);
}

int64_t LinearAttentionCore::scratch(const CoreCall<float>& call) const {
  return cpu::linear_attention_scratch(args(call, *this));
}
int64_t LinearAttentionCore::scratch(const CoreGradCall<float>& call) const {
  return cpu::linear_attention_grad_scratch(args(call, *this));
}
void LinearAttentionCore::forward(const CoreCall<float>& call) const { cpu::linear_attention(args(call, *this)); }
void LinearAttentionCore::backward(const CoreGradCall<float>& call) const {
  cpu::linear_attention_grad(args(call, *this));
}
void LinearAttentionCore::forward(const CoreCall<double>& call) const {
  reference::linear_attention(args(call, *this));
}
void LinearAttentionCore::backward(const CoreGradCall<double>& call) const {
  reference::linear_attention_grad(args(call, *this));
}

Value linear_attention(const Value& q, const Value& k, const Value& v, const LinearOptions& options, LinearState* state,
                       const Value& positions) {
  const auto core = std::make_shared<LinearAttentionCore>(options);
  if (state == nullptr) return run_core(core, {q, k, v, positions}).front();
  return run_core(core, {q, k, v, positions}, {&state->s, &state->z}).front();
}

Value linear_attention(const Value& q, const Value& k, const Value& v, const LinearDecay& decay,
                       const LinearOptions& options, LinearState* state, const Value& positions) {
  const auto core = std::make_shared<LinearAttentionCore>(options, decay_of(decay.log));
  const std::initializer_list<Value> operands = {q, k, v, positions, decay.log, decay.bonus};
  if (state == nullptr) return run_core(core, operands).front();
  if (!options.normalize) return run_core(core, operands, {&state->s}).front();
  return run_core(core, operands, {&state->s, &state->z}).front();
}

}  // namespace rebased
