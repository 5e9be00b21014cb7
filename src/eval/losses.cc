#include "eval/losses.h"

#include <algorithm>
#include <cmath>

#include "base/finite.h"

namespace rebased {

void require_finite(std::span<const float> losses, std::string_view what) {
  if (all_finite(losses)) return;
  const auto found = std::find_if(losses.begin(), losses.end(), [](float loss) { return !std::isfinite(loss); });
  throw NotFiniteError(  // NaN without its sign
      fmt::format("{}: a loss is {}: the model's weights are damaged or its numbers overflowed", what,
                  std::abs(*found)));
}

}  // namespace rebased
