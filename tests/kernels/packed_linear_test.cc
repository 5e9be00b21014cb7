#include "kernels/packed_linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/dtype.h"
#include "kernels/dense.h"
#include "kernels/kernel_buffers.h"

namespace rebased::kernels {
namespace {

constexpr double kEps = 0x1p-24;  // unit roundoff of float
constexpr Packing kPackings[] = {Packing::kBF16, Packing::kI8, Packing::kI4};

// A packed copy of w [O, I].
struct Packed {
  std::vector<uint8_t> data, scales;
  PackedMatrix matrix;

  Packed(Packing packing, int64_t O, int64_t I, const float* w)
      : data(static_cast<size_t>(O * packed_row_bytes(packing, I) + 1)),
        scales(static_cast<size_t>(O * packed_scale_bytes(packing, I) + 4)),
        matrix{packing, O, I, data.data(), packed_scale_bytes(packing, I) > 0 ? scales.data() : nullptr} {
    pack(packing, O, I, w, data.data(), scales.data());
  }
  std::vector<double> values() const {
    std::vector<double> w(static_cast<size_t>(matrix.O * matrix.I));
    reference::unpack(matrix, w.data());
    return w;
  }
};

// How far a packed weight may be from the weight, relative to the largest of its row or group: half a step, and for kI4
// the rounding of the scale (2^-8) and the clipping of the end that has only 7 steps (1/8).
double relative_error(Packing packing) {
  return packing == Packing::kBF16 ? 0x1p-8 : packing == Packing::kI8 ? 0.5 / 127 * (1 + 1e-5) : 1.0 / 8 + 0x1p-8;
}

TEST(Packing, KeepsWeightsToHalfAStep) {
  for (Packing packing : kPackings) {
    for (int64_t I : {1, 31, 32, 33, 100}) {
      const Buffer<float> w = random_buffer(5 * I, 1);
      const std::vector<double> found = Packed(packing, 5, I, w.data()).values();
      const int64_t span = packing == Packing::kI4 ? kPackedGroup : I;
      for (int64_t o = 0; o < 5; ++o) {
        for (int64_t i = 0; i < I; ++i) {
          double largest = 0;
          for (int64_t j = i / span * span; j < std::min(I, (i / span + 1) * span); ++j) {
            largest = std::max(largest, std::abs(static_cast<double>(w.data()[o * I + j])));
          }
          EXPECT_NEAR(found[static_cast<size_t>(o * I + i)], w.data()[o * I + i], relative_error(packing) * largest);
        }
      }
    }
  }
}

// Also of weights halfway between two steps, of zeros and of such as are not finite.
TEST(Packing, IsTheSameOnEveryTarget) {
  for (Packing packing : kPackings) {
    for (int64_t I = 1; I <= 70; ++I) {
      Buffer<float> w = random_buffer(4 * I, 3);
      for (int64_t i = 0; i < I; ++i) {
        w[i] = static_cast<float>(i % 17 - 8) * 0.5f;
        w[I + i] = 0;
      }
      w[3 * I + I / 2] = std::numeric_limits<float>::infinity();
      std::vector<Packed> all;
      for_each_target([&] { all.emplace_back(packing, 4, I, w.data()); });
      for (const Packed& one : all) {
        EXPECT_EQ(one.data, all.front().data) << I;
        EXPECT_EQ(one.scales, all.front().scales) << I;
      }
    }
  }
}

// Eight steps down to -8 and seven up: the extreme weight is exact but for the scale's own rounding.
TEST(Packing, OfFourBitsUsesAllSixteenSteps) {
  std::vector<float> w;
  for (int q = -8; q < 8; ++q) w.push_back(static_cast<float>(q) * 0.5f);
  const Packed packed(Packing::kI4, 1, 16, w.data());
  const std::vector<double> found = packed.values();
  for (size_t i = 0; i < w.size(); ++i) EXPECT_EQ(found[i], w[i]);
}

TEST(Packing, OfZerosIsZeros) {
  const std::vector<float> w(70, 0.0f);
  for (Packing packing : kPackings) {
    for (double value : Packed(packing, 1, 70, w.data()).values()) EXPECT_EQ(value, 0);
  }
}

TEST(Packing, OfWeightsThatAreNotFiniteIsDefined) {
  std::vector<float> w(64, 1.0f);
  w[3] = std::numeric_limits<float>::quiet_NaN();
  w[40] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isnan(Packed(Packing::kBF16, 1, 64, w.data()).values()[3]));
  for (Packing packing : {Packing::kI8, Packing::kI4}) {
    for (double value : Packed(packing, 1, 64, w.data()).values()) EXPECT_EQ(value, 0);
  }
}

TEST(Packing, CountsBytes) {
  EXPECT_EQ(packed_row_bytes(Packing::kBF16, 33), 66);
  EXPECT_EQ(packed_row_bytes(Packing::kI8, 33), 33);
  EXPECT_EQ(packed_row_bytes(Packing::kI4, 33), 32);
  EXPECT_EQ(packed_scale_bytes(Packing::kBF16, 33), 0);
  EXPECT_EQ(packed_scale_bytes(Packing::kI8, 33), 4);
  EXPECT_EQ(packed_scale_bytes(Packing::kI4, 33), 4);
}

TEST(PackedLinear, UnpacksAsTheReference) {
  for_each_target([] {
    for (Packing packing : kPackings) {
      for (int64_t I : {1, 7, 16, 31, 32, 33, 64, 100}) {
        const Packed packed(packing, 3, I, random_buffer(3 * I, 2).data());
        Buffer<float> w(2 * I);
        cpu::unpack_rows(packed.matrix, 1, 2, w.data());
        const std::vector<double> all = packed.values();
        expect_near(w, std::vector<double>(all.begin() + I, all.end()), 3 * kEps, 1e-30, "unpacked");
      }
    }
  });
}

TEST(PackedLinear, IsTheProductWithTheUnpackedWeights) {
  for_each_target([] {
    for (Packing packing : kPackings) {
      for (int64_t N : {1, 2, 3, 7, 64, 65}) {
        for (int64_t I : {1, 16, 33, 100}) {
          for (int64_t O : {1, 3, 4, 9, 34}) {
            const Buffer<float> x = random_buffer(N * I, 1), bias = random_buffer(O, 3);
            const Packed packed(packing, O, I, random_buffer(O * I, 2).data());
            for (bool biased : {false, true}) {
              Buffer<float> y(N * O), scratch(cpu::packed_linear_scratch(N, packed.matrix));
              cpu::packed_linear(N, x.data(), packed.matrix, biased ? bias.data() : nullptr, y.data(), scratch.data());
              std::vector<double> want(static_cast<size_t>(N * O));
              reference::linear(N, I, O, x.doubles().data(), packed.values().data(),
                                biased ? bias.doubles().data() : nullptr, want.data());
              // As for float weights; the 8 that four-bit products subtract again is within the factor 16.
              expect_near(y, want, kEps, kEps * 16 * static_cast<double>(I + 4), "packed linear");
            }
          }
        }
      }
    }
  });
}

TEST(PackedLinear, IsTheSameOnEveryThreadCount) {
  const Buffer<float> x = random_buffer(3 * 257, 1), w = random_buffer(4001 * 257, 2);
  for (Packing packing : kPackings) {
    const Packed packed(packing, 4001, 257, w.data());
    for (int64_t N : {1, 3}) {
      std::vector<std::vector<float>> results;
      for_each_thread_count([&] {
        Buffer<float> y(N * 4001), scratch(cpu::packed_linear_scratch(N, packed.matrix));
        cpu::packed_linear(N, x.data(), packed.matrix, nullptr, y.data(), scratch.data());
        results.push_back(y.values());
      });
      EXPECT_EQ(results[0], results[1]);
      EXPECT_EQ(results[0], results[2]);
    }
  }
}

}  // namespace
}  // namespace rebased::kernels
