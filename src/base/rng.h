#pragma once

#include <cstdint>
#include <string_view>

namespace rebased {

// Mixes 64 bits into 64 well-spread bits (the finaliser of SplitMix64, Steele et al. 2014).
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// A key for an independent stream: derive_key(seed, "dropout", step). Equal arguments, equal stream, on every machine.
uint64_t derive_key(uint64_t seed, std::string_view stream, uint64_t index = 0);

// Counter-based generator: draw number i is a pure function of (key, i), so that a stream is resumed from two integers.
class Rng {
 public:
  explicit Rng(uint64_t key, uint64_t counter = 0) : key_(key), counter_(counter) {}

  uint64_t next() { return mix64(key_ ^ mix64(counter_++)); }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // [0, 1)
  double normal();                                                          // N(0, 1)
  uint64_t below(uint64_t n);                                               // uniform in [0, n), n >= 1, unbiased
  uint64_t counter() const { return counter_; }

 private:
  uint64_t key_;
  uint64_t counter_;
};

}  // namespace rebased
