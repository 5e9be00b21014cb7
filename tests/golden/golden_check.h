#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cores/linear_attention/linear_attention.h"
#include "golden/golden_file.h"
#include "support/gradients.h"

namespace rebased::testing {

// One implementation of a golden's function on some engine: what it computed, beside what the file says it should be.
struct Computation {
  struct Checked {
    std::string name;  // in the golden
    Value value;
    HostArray expected;
  };
  std::vector<Checked> outputs;
  std::vector<Checked> gradients;  // value: the leaf; expected: its gradient
  std::vector<Weighted> loss;      // that the gradients are of; empty on engines without gradients
};

enum class Ordering : uint8_t {
  kFixed,  // one order of sums
  kForms,  // parallel, chunked and recurrent
};

// `compute` runs on an engine; leaves must be made with leaf() below.
using Compute = std::function<Computation(Engine& engine, Form form, int64_t chunk)>;

// The engines that goldens are compared on: our own, and libtorch's where there is one.
std::vector<std::unique_ptr<Engine>> float64_engines();
std::vector<std::unique_ptr<Engine>> float32_with_gradients();

// Compares, in every form: the reference engine and libtorch's float64 composites (outputs and gradients, to the
// rounding of the stored numbers), the float32 kernels on our own training engine and on libtorch (outputs and
// gradients, to atol), and the cpu engine (outputs, to atol).
// `formula`: where the public code computes something a little else, by how much of an array's largest element.
void check_golden(const Golden& golden, Ordering ordering, const Compute& compute, double formula = 0);

// A value that gradients can be taken to where the engine has any.
Value leaf(Engine& engine, const HostArray& x);

// The rounding of the stored float32 numbers.
double rounding_bound(const HostArray& expected);

}  // namespace rebased::testing
