#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/core.h"

namespace rebased::testing {

// A core with its options at one size: what the tests of every core run.
struct CoreCase {
  std::shared_ptr<const Core> core;
  std::map<std::string, int64_t> dims;  // every symbol of its operands; "..." is the number of leading rows
  std::set<std::string> absent{};       // optional operands that are left out, beside ids where `ids` is empty
  bool states = false;
  std::set<std::string> positive{};  // operands that are made positive: normalisers stay away from zero
  std::map<std::string, std::function<double(double)>> mapped{};  // operands made of normal draws: x -> f(x)
  std::function<std::vector<int64_t>(const std::string& operand, int64_t count)> ids{};
  double tolerance = 1e-5;  // of float against double, in units of an array's largest element; gradients have 10 times

  bool has(const Signature::Operand& operand) const {
    return !absent.contains(operand.name) && !(operand.ids && operand.optional && !ids);
  }
  std::string str() const;  // "short_conv B=2 T=7 ..."
};

// All cases of one folder of src/cores.
struct CoreFamily {
  std::string folder;
  std::vector<CoreCase> cases;
};
const std::vector<CoreFamily>& core_families();

}  // namespace rebased::testing
