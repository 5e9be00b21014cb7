#pragma once

#include <cstdint>
#include <map>
#include <optional>
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

// What the weights after a step were worth.
struct Evaluation {
  int64_t step = 0;
  Score score;
};

std::string describe(const Evaluation& evaluation);  // "step 40, test accuracy 0.9912"

// How the metadata of a model's tensors say it: "step", "score" (the name) and "value". Reading gives nothing where
// they are not these.
std::map<std::string, std::string> evaluation_metadata(const Evaluation& evaluation);
std::optional<Evaluation> evaluation_in(const std::map<std::string, std::string>& metadata);

}  // namespace rebased
