#include "data/numpy_random.h"

#include <algorithm>
#include <bit>
#include <numeric>

namespace rebased {

NumpyRandom::NumpyRandom(uint32_t seed) {
  state_[0] = seed;
  for (uint32_t i = 1; i < kStateWords; ++i) {
    state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
  }
}

// One whole block at a time, in loops without a modulus, so that the compiler vectorises both of them.
void NumpyRandom::refill() {
  constexpr int kShift = 397, kRest = kStateWords - kShift;
  const auto twist = [this](int i, int next, int shifted) {
    const uint32_t y = (state_[i] & 0x80000000u) | (state_[next] & 0x7fffffffu);
    state_[i] = state_[shifted] ^ (y >> 1) ^ ((y & 1u) * 0x9908b0dfu);
  };
  for (int i = 0; i < kRest; ++i) twist(i, i + 1, i + kShift);
  for (int i = kRest; i < kStateWords - 1; ++i) twist(i, i + 1, i - kRest);
  twist(kStateWords - 1, 0, kShift - 1);
  for (int i = 0; i < kStateWords; ++i) {
    uint32_t y = state_[i];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    outputs_[i] = y ^ (y >> 18);
  }
  position_ = 0;
}

double NumpyRandom::random_sample() {
  const uint32_t high = next_u32() >> 5, low = next_u32() >> 6;
  return (high * 0x1p26 + low) * 0x1p-53;
}

uint64_t NumpyRandom::interval(uint64_t max) {
  if (max == 0) return 0;
  const uint64_t mask = UINT64_MAX >> std::countl_zero(max);
  uint64_t draw;
  do {
    draw = next_u32();
    if (max > UINT32_MAX) draw = draw << 32 | next_u32();
    draw &= mask;
  } while (draw > max);
  return draw;
}

int64_t NumpyRandom::randint(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(interval(static_cast<uint64_t>(high) - static_cast<uint64_t>(low) - 1));
}

// Swaps order[i] with order[interval(i)] for i = n - 1 ... 1. A row of MQAR takes thousands of such steps, so a
// rejected draw is a swap of i with itself instead of a branch that nobody can predict.
std::vector<int32_t> NumpyRandom::permutation(int32_t n) {
  std::vector<int32_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  uint32_t mask = UINT32_MAX;
  for (uint32_t i = n > 1 ? n - 1 : 0; i > 0;) {
    if (position_ == kStateWords) refill();
    int at = position_;  // in a register: the compiler cannot know that order and position_ do not overlap
    for (; at < kStateWords && i > 0; ++at) {
      while (mask >> 1 >= i) mask >>= 1;
      const uint32_t draw = outputs_[at] & mask;
      const bool accepted = draw <= i;
      std::swap(order[i], order[accepted ? draw : i]);
      i -= accepted ? 1 : 0;
    }
    position_ = at;
  }
  return order;
}

std::vector<int32_t> NumpyRandom::choice(int32_t n, int32_t size) {
  std::vector<int32_t> chosen = permutation(n);
  chosen.resize(size);
  return chosen;
}

std::vector<int32_t> NumpyRandom::choice(std::span<const double> p, int32_t size) {
  std::vector<double> left(p.begin(), p.end()), cdf(p.size());
  std::vector<int32_t> found;
  while (static_cast<int32_t>(found.size()) < size) {
    std::partial_sum(left.begin(), left.end(), cdf.begin());
    const double total = cdf.back();
    for (double& c : cdf) c /= total;
    const auto missing = static_cast<int32_t>(size - found.size());
    for (int32_t i = 0; i < missing; ++i) {
      const auto at = std::upper_bound(cdf.begin(), cdf.end(), random_sample());
      const auto index = static_cast<int32_t>(at - cdf.begin());
      if (left[index] == 0) continue;  // drawn twice in this round
      left[index] = 0;
      found.push_back(index);
    }
  }
  return found;
}

double numpy_sum(std::span<const double> x) {
  const size_t n = x.size();
  if (n < 8) return std::accumulate(x.begin(), x.end(), 0.0);
  if (n > 128) {
    const size_t half = n / 2 - n / 2 % 8;
    return numpy_sum(x.first(half)) + numpy_sum(x.subspan(half));
  }
  std::array<double, 8> r;
  std::copy_n(x.begin(), 8, r.begin());
  size_t i = 8;
  for (; i < n - n % 8; i += 8) {
    for (size_t j = 0; j < 8; ++j) r[j] += x[i + j];
  }
  const double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
  return std::accumulate(x.begin() + static_cast<std::ptrdiff_t>(i), x.end(), sum);
}

}  // namespace rebased
