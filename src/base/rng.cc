#include "base/rng.h"

#include <cmath>
#include <numbers>

namespace rebased {

uint64_t derive_key(uint64_t seed, std::string_view stream, uint64_t index) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a over the name
  for (char c : stream) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return mix64(mix64(mix64(seed) ^ hash) ^ index);
}

double Rng::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));  // Box-Muller; the argument is in (0, 1]
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

uint64_t Rng::below(uint64_t n) {
  const uint64_t limit = UINT64_MAX - (UINT64_MAX % n + 1) % n;  // largest value of a whole number of cycles
  uint64_t draw = next();
  while (draw > limit) draw = next();
  return draw % n;
}

}  // namespace rebased
