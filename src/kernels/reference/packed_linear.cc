#include "kernels/packed_linear.h"

#include <cstdint>

#include "base/dtype.h"

namespace rebased::kernels::reference {

void unpack(const PackedMatrix& matrix, double* w) noexcept {
  const int64_t groups = packed_groups(matrix.I);
  for (int64_t o = 0; o < matrix.O; ++o) {
    for (int64_t i = 0; i < matrix.I; ++i) {
      double& value = w[o * matrix.I + i];
      if (matrix.packing == Packing::kBF16) {
        value = bf16_to_f32(static_cast<const uint16_t*>(matrix.data)[o * matrix.I + i]);
      } else if (matrix.packing == Packing::kI8) {
        value = static_cast<double>(static_cast<const float*>(matrix.scales)[o]) *
                static_cast<const int8_t*>(matrix.data)[o * matrix.I + i];
      } else {
        const int64_t group = o * groups + i / kPackedGroup;
        const uint8_t both = static_cast<const uint8_t*>(matrix.data)[(o * groups * kPackedGroup + i) / 2];
        const int q = (i % 2 == 0 ? both & 15 : both >> 4) - 8;
        value = static_cast<double>(bf16_to_f32(static_cast<const uint16_t*>(matrix.scales)[group])) * q;
      }
    }
  }
}

}  // namespace rebased::kernels::reference
