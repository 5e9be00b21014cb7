#include "engine/tape/tape.h"

#include <map>
#include <utility>

#include "base/error.h"

namespace rebased {

void Slopes::give(int input, Value gradient) {
  const TapeNode::Edge& to = edge(input);
  if (to.node == nullptr || !gradient) return;
  join_(to.node->gradients[static_cast<size_t>(to.output)], std::move(gradient));
  reached_(to.node);
}

Value Slopes::sum_so_far(int input) const {
  const TapeNode::Edge& to = edge(input);
  if (to.node == nullptr) return {};
  const Value& sum = to.node->gradients[static_cast<size_t>(to.output)];
  return sum && is_exclusive(sum) ? sum : Value();
}

Value without_history(const Value& x) {
  if (!x) return {};
  const auto& impl = x.as<CpuValue>();
  return Value(std::make_shared<CpuValue>(&x.engine(), x.shape(), x.dtype(), impl.data(), impl.owner(), false));
}

bool is_exclusive(const Value& x) { return x.unique() && x.as<CpuValue>().exclusive(); }

void run_backward(std::span<const Value> outputs, std::span<const Value> weights, const Join& join) {
  std::map<int64_t, std::shared_ptr<TapeNode>, std::greater<>> waiting;
  const Slopes::Reached reached = [&](const std::shared_ptr<TapeNode>& node) {
    if (!node->leaf) waiting.emplace(node->order, node);
  };
  for (size_t i = 0; i < outputs.size(); ++i) {
    const History& history = outputs[i].as<CpuValue>().history();
    if (history.node == nullptr) continue;
    join(history.node->gradients[static_cast<size_t>(history.output)], weights[i]);
    reached(history.node);
  }
  while (!waiting.empty()) {
    const std::shared_ptr<TapeNode> node = std::move(waiting.begin()->second);
    waiting.erase(waiting.begin());
    if (!node->backward) throw Error("the record of a value that is differentiated was used up before");
    const std::function<void(Slopes&)> backward = std::exchange(node->backward, nullptr);
    Slopes slopes(*node, join, reached);
    backward(slopes);
    for (Value& gradient : node->gradients) gradient = Value();
    node->inputs.clear();
  }
}

}  // namespace rebased
