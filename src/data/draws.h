#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace rebased {

// Where the recall tasks get their keys, values and places from. Every call draws for all rows of the data set at once
// and returns [rows, k], each row without repetition, in the order of the draw.
class Draws {
 public:
  virtual ~Draws() = default;
  // Uniform integers of [0, n), k <= n.
  virtual std::vector<int32_t> distinct(int64_t rows, int32_t n, int32_t k) = 0;
  // Successive draws from the indices of `weights` (all > 0), each with probability weight / weights still there.
  virtual std::vector<int32_t> distinct(int64_t rows, std::span<const double> weights, int32_t k) = 0;
};

// "numpy": the draws of numpy's legacy generator, row after row, as the published code makes them; needs seed < 2^32.
// "fast": the same distributions in O(k) or O(n log n) a row, each row a function of (seed, call, row) alone, so that
// fewer examples are a prefix of more. Throws ConfigError for another name or a seed that numpy would refuse.
std::unique_ptr<Draws> make_draws(std::string_view generator, uint64_t seed);

}  // namespace rebased
