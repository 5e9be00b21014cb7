#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rebased {

// The order in which one epoch visits the rows of a data set: a function of (examples, seed, epoch), so that a run is
// resumed at any batch. Batches have `batch` rows, but for a last one that may have fewer.
class EpochOrder {
 public:
  // Without shuffle the rows come in their order. Throws ConfigError unless examples >= 1 and batch >= 1.
  EpochOrder(int64_t examples, int64_t batch, uint64_t seed, int64_t epoch, bool shuffle);

  int64_t batches() const { return (static_cast<int64_t>(rows_.size()) + batch_ - 1) / batch_; }
  std::span<const int64_t> rows(int64_t i) const;  // of batch i, 0 <= i < batches()

 private:
  int64_t batch_;
  std::vector<int64_t> rows_;
};

}  // namespace rebased
