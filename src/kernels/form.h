#pragma once

#include <cstdint>

namespace rebased::kernels {

// How a linear-time mixer is computed. kAuto takes the cheapest by the rule in docs/numerics.md; tests force each.
enum class Form : uint8_t { kAuto, kParallel, kChunked, kRecurrent };

}  // namespace rebased::kernels
