#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "support/host_array.h"

namespace rebased::testing {

// One operation of the vocabulary with some options, over odd sizes. Operands are normal draws of the shapes that
// `shapes` gives for a size; positive where `positive` says so.
struct OpRow {
  std::string name;
  std::vector<std::vector<Shape>> sizes;  // shapes of the operands, one list a case
  // Outputs: the result, then every state array that was advanced (states are operands). Takes what it advances off the
  // operands, so that it is in place where the caller holds no other handle.
  std::function<std::vector<Value>(Engine& engine, std::span<Value> operands)> run;
  double tolerance = 1e-5;     // of float32 against float64, in units of the largest element: 150 roundings of 6e-8
  bool positive = false;       // operands are made positive: normalisers stay away from zero
  bool gradient = true;        // it has one, everywhere on its operands
  bool derivative = true;      // which is that of the outputs: nothing is detached
  bool composed = true;        // libtorch has a composite of it
  int in_time = 0;             // the operands, of those first, whose dimension 1 is time; so is the first output's
  int states = 0;              // the last operands, which are advanced
  std::vector<Shape> timed{};  // operands of bench/contract_ops_bench.cc, the size that models use; none: not timed
};

const std::vector<OpRow>& op_rows();

}  // namespace rebased::testing
