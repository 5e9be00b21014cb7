#pragma once

#include <string>

namespace rebased {

// A number that says how good a model is, as its data measures it.
struct Score {
  std::string name;  // its key in metrics.jsonl, such as "test_accuracy"
  std::string unit;  // "nats", "bits/byte"; empty: a share
  bool higher_is_better = false;
  double value = 0;

  bool is_better_than(const Score& other) const { return higher_is_better ? value > other.value : value < other.value; }
};

}  // namespace rebased
