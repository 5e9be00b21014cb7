#include "engine/tape/recording_engine.h"

#include <algorithm>
#include <utility>

#include "base/threads.h"
#include "engine/cpu/cpu_value.h"
#include "engine/cpu/kernels_by_type.h"

namespace rebased {

template <class Real>
void RecordingEngine<Real>::track(const Value& leaf) {
  auto node = std::make_shared<TapeNode>();
  node->leaf = true;
  node->gradients.resize(1);
  leaf.as<CpuValue>().set_history({std::move(node), 0});
}

template <class Real>
void RecordingEngine<Real>::backward(std::span<const Value> outputs, std::span<const Value> weights) {
  const RecordingOff off(this);
  run_backward(outputs, weights, [this](Value& sum, Value part) { join(sum, std::move(part)); });
}

template <class Real>
Value RecordingEngine<Real>::gradient(const Value& leaf) const {
  const History& history = leaf.as<CpuValue>().history();
  return history.node != nullptr ? history.node->gradients.front() : Value();
}

template <class Real>
void RecordingEngine<Real>::clear_gradient(const Value& leaf) {
  leaf.as<CpuValue>().history().node->gradients.front() = Value();
}

template <class Real>
bool RecordingEngine<Real>::set_recording(bool on) {
  return std::exchange(recording_, on);
}

// Blocks of one size, so that the sum does not depend on the number of threads.
template <class Real>
double RecordingEngine<Real>::sum_of_squares(const Value& x) {
  constexpr int64_t kBlock = 4096;
  const int64_t n = x.shape().numel();
  std::vector<double> sums(static_cast<size_t>((n + kBlock - 1) / kBlock));
  parallel_for(static_cast<int64_t>(sums.size()), 4, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      double sum = 0;
      for (int64_t i = block * kBlock; i < std::min(n, (block + 1) * kBlock); ++i) {
        sum += static_cast<double>(reals<Real>(x)[i]) * reals<Real>(x)[i];
      }
      sums[static_cast<size_t>(block)] = sum;
    }
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return total;
}

template <class Real>
void RecordingEngine<Real>::update(const Update& update, std::span<const Value> arrays) {
  std::vector<Real*> pointers;
  for (const Value& array : arrays) pointers.push_back(mutable_reals<Real>(array));
  update.run(arrays.front().shape().numel(), pointers);
}

template <class Real>
std::vector<TapeNode::Edge> RecordingEngine<Real>::edges(std::span<const Value> operands) const {
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

template <class Real>
void RecordingEngine<Real>::record(std::vector<TapeNode::Edge> inputs, std::span<Value* const> outputs,
                                   Backward backward) {
  auto node = std::make_shared<TapeNode>();
  node->order = ++operations_;
  node->inputs = std::move(inputs);
  node->backward = std::move(backward);
  node->gradients.resize(outputs.size());
  int index = 0;
  for (Value* output : outputs) output->as<CpuValue>().set_history({node, index++});
}

template <class Real>
Value RecordingEngine<Real>::recorded(Value y, Operands operands, const std::function<Backward()>& backward) {
  std::vector<TapeNode::Edge> inputs = edges(operands);
  Value* outputs[] = {&y};
  if (!inputs.empty()) record(std::move(inputs), outputs, backward());
  return y;
}

template <class Real>
void RecordingEngine<Real>::join(Value& sum, Value part) {
  if (!sum) {
    sum = std::move(part);
  } else if (is_exclusive(sum)) {
    kernels::by_type::add(sum.shape().numel(), 1, reals<Real>(sum), reals<Real>(part), kernels::Broadcast::kSame,
                          mutable_reals<Real>(sum));
  } else {
    sum = Host::add(sum, part);
  }
}

template <class Real>
Value RecordingEngine<Real>::in_place_of(Value& dy) {
  return is_exclusive(dy) ? std::move(dy) : make(dy.shape());
}

template class RecordingEngine<float>;
template class RecordingEngine<double>;

}  // namespace rebased
