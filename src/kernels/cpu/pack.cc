#include <algorithm>
#include <cmath>

#include "base/dtype.h"
#include "kernels/packed_linear.h"

namespace rebased::kernels {
namespace {

// The element largest in magnitude; 0 for none, and when one is not finite.
float extreme(const float* w, int64_t n) {
  float found = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(w[i])) return 0;
    if (std::abs(w[i]) > std::abs(found)) found = w[i];
  }
  return found;
}

void pack_row_i8(int64_t I, const float* w, int8_t* q, float* scale) {
  *scale = std::abs(extreme(w, I)) / 127;
  for (int64_t i = 0; i < I; ++i) {
    q[i] = *scale > 0 ? static_cast<int8_t>(std::clamp(std::nearbyint(w[i] / *scale), -127.0f, 127.0f)) : int8_t{0};
  }
}

void pack_group_i4(int64_t n, const float* w, uint8_t* q, uint16_t* scale) {
  *scale = f32_to_bf16(-extreme(w, n) / 8);
  const float step = bf16_to_f32(*scale);
  auto nibble = [&](int64_t j) -> unsigned {
    if (j >= n || step == 0) return 8;
    return static_cast<unsigned>(std::clamp(std::nearbyint(w[j] / step), -8.0f, 7.0f) + 8);
  };
  for (int64_t j = 0; j < kPackedGroupBytes; ++j) q[j] = static_cast<uint8_t>(nibble(2 * j) | nibble(2 * j + 1) << 4);
}

}  // namespace

int64_t packed_row_bytes(Packing packing, int64_t I) noexcept {
  if (packing == Packing::kBF16) return 2 * I;
  return packing == Packing::kI8 ? I : packed_groups(I) * kPackedGroupBytes;
}

int64_t packed_scale_bytes(Packing packing, int64_t I) noexcept {
  if (packing == Packing::kBF16) return 0;
  return packing == Packing::kI8 ? 4 : 2 * packed_groups(I);
}

void pack(Packing packing, int64_t O, int64_t I, const float* w, void* data, void* scales) noexcept {
  const int64_t groups = packed_groups(I);
  for (int64_t o = 0; o < O; ++o, w += I) {
    if (packing == Packing::kBF16) {
      std::transform(w, w + I, static_cast<uint16_t*>(data) + o * I, f32_to_bf16);
    } else if (packing == Packing::kI8) {
      pack_row_i8(I, w, static_cast<int8_t*>(data) + o * I, static_cast<float*>(scales) + o);
    } else {
      for (int64_t g = 0; g < groups; ++g) {
        pack_group_i4(std::min(kPackedGroup, I - g * kPackedGroup), w + g * kPackedGroup,
                      static_cast<uint8_t*>(data) + (o * groups + g) * kPackedGroupBytes,
                      static_cast<uint16_t*>(scales) + o * groups + g);
      }
    }
  }
}

}  // namespace rebased::kernels
