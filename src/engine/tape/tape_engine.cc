#include "engine/tape/tape_engine.h"

#include <algorithm>
#include <utility>

#include "base/threads.h"
#include "engine/cpu/cpu_value.h"
#include "kernels/adamw.h"
#include "kernels/dense.h"

namespace rebased {

void TapeEngine::track(const Value& leaf) {
  auto node = std::make_shared<TapeNode>();
  node->leaf = true;
  node->gradients.resize(1);
  leaf.as<CpuValue>().set_history({std::move(node), 0});
}

void TapeEngine::backward(std::span<const Value> outputs, std::span<const Value> weights) {
  const RecordingOff off(this);
  run_backward(outputs, weights, [this](Value& sum, Value part) { join(sum, std::move(part)); });
}

Value TapeEngine::gradient(const Value& leaf) const {
  const History& history = leaf.as<CpuValue>().history();
  return history.node != nullptr ? history.node->gradients.front() : Value();
}

void TapeEngine::clear_gradient(const Value& leaf) { leaf.as<CpuValue>().history().node->gradients.front() = Value(); }

bool TapeEngine::set_recording(bool on) { return std::exchange(recording_, on); }

// Blocks of one size, so that the sum does not depend on the number of threads.
double TapeEngine::sum_of_squares(const Value& x) {
  constexpr int64_t kBlock = 4096;
  const int64_t n = x.shape().numel();
  std::vector<double> sums(static_cast<size_t>((n + kBlock - 1) / kBlock));
  parallel_for(static_cast<int64_t>(sums.size()), 4, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      double sum = 0;
      for (int64_t i = block * kBlock; i < std::min(n, (block + 1) * kBlock); ++i) {
        sum += static_cast<double>(floats(x)[i]) * floats(x)[i];
      }
      sums[static_cast<size_t>(block)] = sum;
    }
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

void TapeEngine::adamw(const Value& param, const Value& grad, const Value& m, const Value& v, const AdamWStep& step) {
  kernels::cpu::adamw({.n = param.shape().numel(),
                       .param = mutable_floats(param),
                       .grad = floats(grad),
                       .m = mutable_floats(m),
                       .v = mutable_floats(v),
                       .step = step.step,
                       .lr = step.lr,
                       .beta1 = step.beta1,
                       .beta2 = step.beta2,
                       .eps = step.eps,
                       .weight_decay = step.weight_decay,
                       .grad_scale = step.grad_scale});
}

// Parameters are updated in place: never in the file.
Value TapeEngine::borrow(const float* data, const Shape& shape, std::shared_ptr<const void>) {
  return from_host(data, DType::kF32, shape, DType::kF32);
}

std::vector<TapeNode::Edge> TapeEngine::edges(std::span<const Value> operands) const {
  std::vector<TapeNode::Edge> result;
  if (!recording_) return result;
  bool any = false;
  for (const Value& operand : operands) {
    TapeNode::Edge& edge = result.emplace_back();
    if (!operand) continue;
    const History& history = operand.as<CpuValue>().history();
    edge = {history.node, history.output};
    any = any || history.node != nullptr;
  }
  if (!any) result.clear();
  return result;
}

void TapeEngine::record(std::vector<TapeNode::Edge> inputs, std::span<Value* const> outputs, Backward backward) {
  auto node = std::make_shared<TapeNode>();
  node->order = ++operations_;
  node->inputs = std::move(inputs);
  node->backward = std::move(backward);
  node->gradients.resize(outputs.size());
  int index = 0;
  for (Value* output : outputs) output->as<CpuValue>().set_history({node, index++});
}

Value TapeEngine::recorded(Value y, Operands operands, const std::function<Backward()>& backward) {
  std::vector<TapeNode::Edge> inputs = edges(operands);
  Value* outputs[] = {&y};
  if (!inputs.empty()) record(std::move(inputs), outputs, backward());
  return y;
}

void TapeEngine::join(Value& sum, Value part) {
  if (!sum) {
    sum = std::move(part);
  } else if (is_exclusive(sum)) {
    kernels::cpu::add(sum.shape().numel(), 1, floats(sum), floats(part), kernels::Broadcast::kSame,
                      mutable_floats(sum));
  } else {
    sum = CpuEngine::add(sum, part);
  }
}

Value TapeEngine::in_place_of(Value& dy) { return is_exclusive(dy) ? std::move(dy) : make(dy.shape()); }

}  // namespace rebased
