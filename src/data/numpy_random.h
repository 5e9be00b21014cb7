#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace rebased {

// The draws of numpy's legacy np.random.seed(s) generator, bit for bit, as far as the published data sets use them:
// MT19937 (Matsumoto and Nishimura 1998) with masked rejection for integers. Checked against numpy 1.24.
// Only for repeating published data; base/rng.h is the generator of everything else.
class NumpyRandom {
 public:
  explicit NumpyRandom(uint32_t seed);

  uint32_t next_u32() {
    if (position_ == kStateWords) refill();
    return outputs_[position_++];
  }
  double random_sample();                      // [0, 1), 53 bits, two 32-bit outputs
  uint64_t interval(uint64_t max);             // uniform in [0, max]
  int64_t randint(int64_t low, int64_t high);  // uniform in [low, high), low < high
  std::vector<int32_t> permutation(int32_t n);

  // choice(n, size, replace=False): `size` different integers of [0, n) in the order of the draw, size <= n.
  std::vector<int32_t> choice(int32_t n, int32_t size);
  // choice(len(p), size, replace=False, p=p): successive draws with probabilities p (sum 1). At least `size` of p are >
  // 0.
  std::vector<int32_t> choice(std::span<const double> p, int32_t size);

 private:
  static constexpr int kStateWords = 624;
  void refill();

  std::array<uint32_t, kStateWords> state_;
  std::array<uint32_t, kStateWords> outputs_;  // of the current block, tempered
  int position_ = kStateWords;
};

// x.sum() as numpy rounds it: pairwise over blocks of at most 128, eight accumulators a block.
double numpy_sum(std::span<const double> x);

}  // namespace rebased
