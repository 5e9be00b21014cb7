#include "runtime/sampling.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace rebased {

int32_t greedy_token(std::span<const float> logits) {
  size_t best = 0;
  for (size_t id = 0; id < logits.size(); ++id) {
    if (std::isnan(logits[id]) || logits[id] == INFINITY) {
      throw Error(fmt::format("the logit of token {} is {}: the model's weights are damaged or its numbers overflowed",
                              id, std::abs(logits[id])));
    }
    if (logits[id] > logits[best]) best = id;
  }
  if (logits.empty() || logits[best] == -INFINITY) {
    throw Error(fmt::format("no token can be chosen: each of the {} logits is -inf", logits.size()));
  }
  return static_cast<int32_t>(best);
}

Sampler::Sampler(const SamplingOptions& options, uint64_t draws)
    : options_(options_from_json<SamplingOptions>(options_to_json(options), "sampling")),
      rng_(derive_key(options.seed, "sampling"), draws) {}

// Every token that top_k leaves, with its weight; sorted by falling logit when top_k or top_p asks for an order.
void Sampler::collect(std::span<const float> logits) {
  const double highest = logits[static_cast<size_t>(greedy_token(logits))];
  candidates_.clear();
  for (size_t id = 0; id < logits.size(); ++id) {
    if (logits[id] == -INFINITY) continue;
    const double weight = std::exp((logits[id] - highest) / options_.temperature);
    candidates_.push_back({static_cast<int32_t>(id), logits[id], weight});
  }
  auto likelier = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  };
  const auto k = static_cast<size_t>(options_.top_k);
  const bool fewer = k > 0 && k < candidates_.size();
  if (fewer) {
    std::partial_sort(candidates_.begin(), candidates_.begin() + options_.top_k, candidates_.end(), likelier);
    candidates_.resize(k);
  } else if (options_.top_p < 1) {
    std::sort(candidates_.begin(), candidates_.end(), likelier);
  }
}

void Sampler::keep_top_p() {
  double total = 0, held = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  size_t kept = 0;
  while (kept < candidates_.size() && (kept == 0 || held < options_.top_p * total)) held += candidates_[kept++].weight;
  candidates_.resize(kept);
}

int32_t Sampler::sample(std::span<const float> logits) {
  if (options_.temperature == 0) return greedy_token(logits);
  collect(logits);
  if (options_.top_p < 1) keep_top_p();
  double total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  double left = rng_.uniform() * total;
  for (const Candidate& candidate : candidates_) {
    left -= candidate.weight;
    if (left < 0) return candidate.id;
  }
  // Rounding can leave a little over: the last token that has any weight takes it.
  const auto last =
      std::find_if(candidates_.rbegin(), candidates_.rend(), [](const Candidate& c) { return c.weight > 0; });
  return last->id;
}

}  // namespace rebased
