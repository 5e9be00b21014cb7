#include "data/draws.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "data/numpy_random.h"

namespace rebased {
namespace {

class NumpyDraws : public Draws {
 public:
  explicit NumpyDraws(uint32_t seed) : random_(seed) {}

  std::vector<int32_t> distinct(int64_t rows, int32_t n, int32_t k) override {
    return collect(rows, k, [&] { return random_.choice(n, k); });
  }

  std::vector<int32_t> distinct(int64_t rows, std::span<const double> weights, int32_t k) override {
    const double sum = numpy_sum(weights);
    std::vector<double> p(weights.begin(), weights.end());
    for (double& x : p) x /= sum;
    return collect(rows, k, [&] { return random_.choice(p, k); });
  }

 private:
  template <class DrawRow>
  static std::vector<int32_t> collect(int64_t rows, int32_t k, const DrawRow& draw_row) {
    std::vector<int32_t> all;
    all.reserve(static_cast<size_t>(rows * k));
    for (int64_t row = 0; row < rows; ++row) {
      const std::vector<int32_t> drawn = draw_row();
      all.insert(all.end(), drawn.begin(), drawn.end());
    }
    return all;
  }

  NumpyRandom random_;
};

class FastDraws : public Draws {
 public:
  explicit FastDraws(uint64_t seed) : seed_(seed) {}

  // The first k steps of a Fisher-Yates shuffle, then undone: O(k) whatever n.
  std::vector<int32_t> distinct(int64_t rows, int32_t n, int32_t k) override {
    const uint64_t key = next_key();
    std::vector<int32_t> all(static_cast<size_t>(rows * k)), pool(n), swapped(k);
    std::iota(pool.begin(), pool.end(), 0);
    for (int64_t row = 0; row < rows; ++row) {
      Rng rng(mix64(key ^ mix64(row)));
      for (int32_t i = 0; i < k; ++i) {
        swapped[i] = i + static_cast<int32_t>(rng.below(n - i));
        std::swap(pool[i], pool[swapped[i]]);
        all[row * k + i] = pool[i];
      }
      for (int32_t i = k - 1; i >= 0; --i) std::swap(pool[i], pool[swapped[i]]);
    }
    return all;
  }

  // Exponential race (Efraimidis and Spirakis 2006): the k smallest Exp(1) / weight, in their order, are k successive
  // draws without replacement.
  std::vector<int32_t> distinct(int64_t rows, std::span<const double> weights, int32_t k) override {
    const uint64_t key = next_key();
    const auto n = static_cast<int32_t>(weights.size());
    std::vector<int32_t> all(static_cast<size_t>(rows * k));
    std::vector<std::pair<double, int32_t>> arrival(n);
    for (int64_t row = 0; row < rows; ++row) {
      Rng rng(mix64(key ^ mix64(row)));
      for (int32_t i = 0; i < n; ++i) arrival[i] = {-std::log(1.0 - rng.uniform()) / weights[i], i};
      std::partial_sort(arrival.begin(), arrival.begin() + k, arrival.end());
      for (int32_t i = 0; i < k; ++i) all[row * k + i] = arrival[i].second;
    }
    return all;
  }

 private:
  uint64_t next_key() { return derive_key(seed_, "task.draws", call_++); }

  uint64_t seed_;
  uint64_t call_ = 0;
};

}  // namespace

std::unique_ptr<Draws> make_draws(std::string_view generator, uint64_t seed) {
  if (generator == "fast") return std::make_unique<FastDraws>(seed);
  if (generator != "numpy") throw ConfigError("generator must be \"numpy\" or \"fast\", found \"{}\"", generator);
  if (seed > UINT32_MAX) throw ConfigError("generator \"numpy\" takes seeds up to 2^32 - 1, found {}", seed);
  return std::make_unique<NumpyDraws>(static_cast<uint32_t>(seed));
}

}  // namespace rebased
