#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cores/core_case.h"

namespace rebased::testing {

using Numbers = std::vector<double>;

// What one use of a core reads, every number one that float holds.
struct CoreInputs {
  CoreUse use;
  std::vector<std::optional<Numbers>> operands;  // none: absent, or ids
  std::vector<std::vector<int64_t>> ids;         // of every operand; empty where it has none
  std::vector<Numbers> before;                   // states; none at a fresh start
  std::vector<Numbers> d_results, d_after;
};

// Drawn at random, the states as some earlier tokens leave them.
CoreInputs inputs_of(const CoreCase& c, uint64_t key);

// Every array that a core writes, forward and backward.
struct CoreOutputs {
  struct Array {
    std::string name;
    bool gradient;
    Numbers numbers;
  };
  std::vector<Array> arrays;
  const Numbers& at(const std::string& name) const;
};

CoreOutputs run_reference(const CoreInputs& in);

struct KernelOptions {
  bool in_place = false;  // the states are advanced where they lie
  bool backward = true;   // false: neither backward nor what is formed for it alone
};
// Arrays start off the alignment of vectors; nothing is written before or behind them, and what is not written is NaN.
CoreOutputs run_kernel(const CoreInputs& in, const KernelOptions& options = {});

// Only results and states after: the loss <d_results, results> + <d_after, after> of the reference.
double reference_loss(const CoreInputs& in);

}  // namespace rebased::testing
