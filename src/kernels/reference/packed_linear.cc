#include "kernels/packed_linear.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/dtype.h"

namespace rebased::kernels::reference {
namespace {

double unpack_i8(const PackedMatrix& matrix, int64_t o, int64_t i) {
  const int64_t group = o / kPackedTile * packed_groups(matrix.I) + i / kPackedGroup;
  const int64_t row = o % kPackedTile, k = i % kPackedGroup / 4;
  const int q = static_cast<const uint8_t*>(matrix.data)[((group * 8 + k) * kPackedTile + row) * 4 + i % 4] - 128;
  return static_cast<double>(static_cast<const float*>(matrix.scales)[o]) * q;
}

double unpack_i4(const PackedMatrix& matrix, int64_t o, int64_t i) {
  const int64_t group = o / kPackedTile * packed_groups(matrix.I) + i / kPackedGroup;
  const int64_t row = o % kPackedTile, v = i % kPackedGroup / 8, b = i % 4;
  const uint8_t both = static_cast<const uint8_t*>(matrix.data)[((group * 4 + v) * kPackedTile + row) * 4 + b];
  const int q = (i % 8 < 4 ? both & 15 : both >> 4) - 8;
  return static_cast<double>(bf16_to_f32(static_cast<const uint16_t*>(matrix.scales)[group * kPackedTile + row])) * q;
}

}  // namespace

void unpack(const PackedMatrix& matrix, double* w) noexcept {
  for (int64_t o = 0; o < matrix.O; ++o) {
    for (int64_t i = 0; i < matrix.I; ++i) {
      double& value = w[o * matrix.I + i];
      if (matrix.packing == Packing::kBF16) {
        value = bf16_to_f32(static_cast<const uint16_t*>(matrix.data)[o * matrix.I + i]);
      } else if (matrix.packing == Packing::kI8) {
        value = unpack_i8(matrix, o, i);
      } else {
        value = unpack_i4(matrix, o, i);
      }
    }
  }
}

void round_to_bytes(int64_t N, int64_t I, const float* x, double* rounded) noexcept {
  for (int64_t n = 0; n < N; ++n) {
    for (int64_t i = 0; i < I; ++i) {
      const int64_t begin = i / kPackedGroup * kPackedGroup, end = std::min(I, begin + kPackedGroup);
      float largest = 0;
      for (int64_t j = begin; j < end; ++j) {
        const float size = std::abs(x[n * I + j]);
        largest = std::isfinite(size) ? std::max(largest, size) : std::numeric_limits<float>::quiet_NaN();
        if (std::isnan(largest)) break;
      }
      const float scale = largest / 127;
      const float steps = scale > 0 ? std::nearbyint(x[n * I + i] / scale) : 0.0f;
      rounded[n * I + i] = static_cast<double>(scale) * std::clamp(steps, -127.0f, 127.0f);
    }
  }
}

}  // namespace rebased::kernels::reference
