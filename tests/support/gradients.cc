#include "support/gradients.h"

#include "engine/autograd.h"

namespace rebased::testing {

void track(const Value& leaf) { leaf.engine().autograd()->track(leaf); }

std::vector<std::optional<HostArray>> gradients(std::span<const Weighted> outputs, std::span<const Value> leaves) {
  Autograd& autograd = *leaves.front().engine().autograd();
  std::vector<Value> roots, weights;
  for (const Weighted& item : outputs) {
    roots.push_back(item.output);
    weights.push_back(write(item.output.engine(), item.weight));
  }
  for (const Value& leaf : leaves) autograd.clear_gradient(leaf);
  autograd.backward(roots, weights);
  std::vector<std::optional<HostArray>> result(leaves.size());
  for (size_t i = 0; i < leaves.size(); ++i) {
    if (const Value gradient = autograd.gradient(leaves[i])) result[i] = read(gradient);
  }
  return result;
}

void back_propagate(const Value& output, const HostArray& weight) {
  const Value slope = write(output.engine(), weight);
  output.engine().autograd()->backward({&output, 1}, {&slope, 1});
}

}  // namespace rebased::testing
