#include "cores/rope/kernel.h"

#include <cmath>

namespace rebased::kernels::reference {

void rope(const RopeArgs<double>& a) noexcept {
  const double direction = a.backwards ? -1 : 1;
  for (int64_t row = 0; row < a.B * a.T * a.H; ++row) {
    const double* x = a.x + row * a.D;
    double* y = a.y + row * a.D;
    for (int64_t i = 0; i < a.rotary / 2; ++i) {
      const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(a.rotary);
      const double angle = direction * static_cast<double>(a.positions[row / a.H]) * std::pow(a.base, exponent);
      const double first = x[i], second = x[i + a.rotary / 2];
      y[i] = first * std::cos(angle) - second * std::sin(angle);
      y[i + a.rotary / 2] = first * std::sin(angle) + second * std::cos(angle);
    }
    for (int64_t i = a.rotary; i < a.D; ++i) y[i] = x[i];
  }
}

}  // namespace rebased::kernels::reference
