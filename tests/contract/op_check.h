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

// Gradients need an engine with autograd.
OpResult carry_out(const OpRow& row, Engine& engine, const std::vector<HostArray>& operands, bool with_gradients);

// What every operation promises, each as a function that says how operands of these shapes show it to be broken: "",
// or a sentence for each array that is too far off.

// Every engine against the reference: outputs, and gradients where it has them.
std::string disagreement(const OpRow& row, const std::vector<Shape>& shapes);
// The reference's gradients against finite differences.
std::string wrong_derivatives(const OpRow& row, const std::vector<Shape>& shapes);
// What is advanced in place is what is advanced into new memory.
std::string harm_in_place(const OpRow& row, const std::vector<Shape>& shapes);
// A row of tokens in two parts, from the state between them, against all of them at once.
std::string broken_law(const OpRow& row, const std::vector<Shape>& shapes);

struct OpPromise {
  const char* name;
  std::string (*broken)(const OpRow& row, const std::vector<Shape>& shapes);
};
const std::vector<OpPromise>& op_promises();

}  // namespace rebased::testing
