#pragma once

#include <optional>
#include <string>
#include <vector>

#include "contract/op_rows.h"

namespace rebased::testing {

struct OpResult {
  std::vector<HostArray> outputs;
  std::vector<std::optional<HostArray>> grads;  // of a fixed weighing of the outputs, one an operand
};

// Normal draws for operands of these shapes, as the row wants them.
std::vector<HostArray> operands_of(const OpRow& row, const std::vector<Shape>& shapes);

// Gradients need a torch engine.
OpResult carry_out(const OpRow& row, Engine& engine, const std::vector<HostArray>& operands, bool with_gradients);

// The float32 kernels of the torch engine, our own training engine (outputs and gradients of both) and the cpu engine
// (outputs) against float64: "", or a sentence for each array that is too far off.
std::string disagreement(const OpRow& row, const std::vector<Shape>& shapes);

}  // namespace rebased::testing
