#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "config/limits.h"
#include "config/options.h"

namespace rebased {

// How the next token is chosen. The defaults sample from the model's own distribution. In this order: the logits are
// divided by the temperature, all but the top_k largest are dropped, and of those the least likely that the others do
// without and still hold top_p of the probability (nucleus sampling, arXiv:1904.09751). Of equal logits the lower id
// comes first.
struct SamplingOptions {
  double temperature = 1;
  int64_t top_k = 0;
  double top_p = 1;
  uint64_t seed = 0;

  template <class V>
  void visit(V& v) {
    v("temperature", temperature, "flattens (> 1) or sharpens (< 1) the distribution; 0: always the likeliest token",
      number_from_zero());
    v("top_k", top_k, "choose among the K likeliest tokens; 0: among all", between(0, kMostIds));
    v("top_p", top_p, "choose among the fewest tokens that together have at least this probability", between(1e-9, 1));
    v("seed", seed, "of the random choices: equal seeds, equal text", any_value<uint64_t>());
  }
};

// The likeliest token; of equal ones the lowest id. Throws Error as Sampler::sample does.
int32_t greedy_token(std::span<const float> logits);

// Draws tokens. Equal options and equal logits give equal tokens, bit for bit; every draw takes one number from the
// generator, none at temperature 0.
class Sampler {
 public:
  // `draws`: numbers that were drawn before. Throws ConfigError for values outside of their range.
  explicit Sampler(const SamplingOptions& options, uint64_t draws = 0);

  // A token of logits [V]. -inf is a token that never comes; throws Error for NaN, +inf, no logits, or nothing but
  // -inf.
  int32_t sample(std::span<const float> logits);
  uint64_t draws() const { return rng_.counter(); }

 private:
  struct Candidate {
    int32_t id;
    float logit;
    double weight;  // in proportion to the probability
  };
  void collect(std::span<const float> logits);
  void keep_top_p();

  SamplingOptions options_;
  Rng rng_;
  std::vector<Candidate> candidates_;
};

}  // namespace rebased
