#include "cores/dropout/kernel.h"

#include <algorithm>
#include <cmath>

#include "base/rng.h"

namespace rebased::kernels::reference {

// Two rounds of a 32-bit integer hash (xor-shifts and odd multipliers) with half of the mixed key before each.
bool dropout_keeps(uint64_t key, double p, int64_t i) noexcept {
  const auto threshold = static_cast<uint32_t>(std::lround(std::clamp(p, 0.0, 1.0) * 0x1p24));
  const uint64_t mixed = mix64(key ^ mix64(static_cast<uint64_t>(i) >> 32));
  uint32_t h = static_cast<uint32_t>(i) ^ static_cast<uint32_t>(mixed);
  h = (h ^ (h >> 16)) * 0x7feb352dU;
  h = (h ^ (h >> 15)) * 0x846ca68bU;
  h = (h ^ (h >> 16)) + static_cast<uint32_t>(mixed >> 32);
  h = (h ^ (h >> 16)) * 0x7feb352dU;
  h ^= h >> 15;
  return (h >> 8) >= threshold;
}

void dropout(int64_t n, uint64_t key, double p, const double* x, double* y) noexcept {
  for (int64_t i = 0; i < n; ++i) y[i] = dropout_keeps(key, p, i) ? x[i] / (1 - p) : 0;
}

}  // namespace rebased::kernels::reference
