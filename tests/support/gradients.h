#pragma once

#include <optional>
#include <span>
#include <vector>

#include "support/host_array.h"

namespace rebased::testing {

// Makes a value of an engine with autograd one that gradients are taken to, in place. Every later use of it is
// recorded.
void track(const Value& leaf);

struct Weighted {
  Value output;
  HostArray weight;
};

// Gradients of sum over outputs of <weight, output>, one for each leaf; nothing for a leaf that the outputs do not
// depend on.
std::vector<std::optional<HostArray>> gradients(std::span<const Weighted> outputs, std::span<const Value> leaves);

// The gradients of sum <weight, output> are formed and dropped: for timing.
void back_propagate(const Value& output, const HostArray& weight);

}  // namespace rebased::testing
