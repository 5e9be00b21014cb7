#include "base/finite.h"

#include <algorithm>
#include <bit>

namespace rebased {
namespace {

constexpr size_t kBlock = 4096;  // numbers between two looks at the result

// Without its sign, a number that is not finite has the bits of infinity or more. `magnitude` gives them as integers,
// whose maximum compilers compute in vectors.
template <class Number, class Magnitude>
bool all_below(std::span<const Number> numbers, int32_t infinity, Magnitude&& magnitude) {
  for (; !numbers.empty(); numbers = numbers.subspan(std::min(kBlock, numbers.size()))) {
    int32_t most = 0;
    for (const Number number : numbers.first(std::min(kBlock, numbers.size()))) {
      most = std::max(most, magnitude(number));
    }
    if (most >= infinity) return false;
  }
  return true;
}

}  // namespace

bool all_finite(std::span<const float> numbers) {
  return all_below(numbers, 0x7f800000, [](float x) { return std::bit_cast<int32_t>(x) & 0x7fffffff; });
}

bool all_finite_bf16(std::span<const uint16_t> numbers) {
  return all_below(numbers, 0x7f80, [](uint16_t x) { return x & 0x7fff; });
}

}  // namespace rebased
