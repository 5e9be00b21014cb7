#include "data/batches.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"

namespace rebased {

EpochOrder::EpochOrder(int64_t examples, int64_t batch, uint64_t seed, int64_t epoch, bool shuffle) : batch_(batch) {
  if (examples < 1) throw ConfigError("examples must be at least 1, found {}", examples);
  if (batch < 1) throw ConfigError("batch must be at least 1, found {}", batch);
  batch_ = std::min(batch, examples);
  rows_.resize(static_cast<size_t>(examples));
  std::iota(rows_.begin(), rows_.end(), 0);
  if (!shuffle) return;
  Rng rng(derive_key(seed, "data.epoch", epoch));
  for (int64_t i = examples - 1; i > 0; --i) std::swap(rows_[i], rows_[rng.below(i + 1)]);  // Fisher and Yates
}

std::span<const int64_t> EpochOrder::rows(int64_t i) const {
  const auto count = std::min(batch_, static_cast<int64_t>(rows_.size()) - i * batch_);
  return std::span(rows_).subspan(static_cast<size_t>(i * batch_), static_cast<size_t>(count));
}

}  // namespace rebased
