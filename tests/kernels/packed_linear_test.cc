#include "kernels/packed_linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/dtype.h"
#include "kernels/bf16_product.h"
#include "kernels/dense.h"
#include "kernels/kernel_buffers.h"
#include "kernels/packed/packed_bytes.h"

namespace rebased::kernels {
namespace {

constexpr double kEps = 0x1p-24;  // unit roundoff of float
constexpr Packing kPackings[] = {Packing::kBF16, Packing::kI8, Packing::kI4};
constexpr Packing kTiled[] = {Packing::kI8, Packing::kI4};

// Every instruction set, and the best one without VNNI and without AVX-512 BF16.
template <class Function>
void for_each_product(const Function& f) {
  for_each_target(f);
  SCOPED_TRACE("without VNNI and AVX-512 BF16");
  cpu::allow_vnni(false);
  cpu::allow_bf16(false);
  f();
  cpu::allow_bf16(true);
  cpu::allow_vnni(true);
}

// A packed copy of w [O, I].
struct Packed {
  std::vector<uint8_t> data, scales;
  PackedMatrix matrix;

  Packed(Packing packing, int64_t O, int64_t I, const float* w)
      : data(static_cast<size_t>(packed_data_bytes(packing, O, I)), 0xff),
        scales(static_cast<size_t>(packed_scale_bytes(packing, O, I)), 0xff),
        matrix{packing, O, I, data.data(), scales.empty() ? nullptr : scales.data()} {
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
  EXPECT_EQ(packed_data_bytes(Packing::kBF16, 3, 33), 198);
  EXPECT_EQ(packed_data_bytes(Packing::kI8, 3, 33), 16 * 64);
  EXPECT_EQ(packed_data_bytes(Packing::kI8, 17, 32), 32 * 32);
  EXPECT_EQ(packed_data_bytes(Packing::kI4, 3, 33), 16 * 32);
  EXPECT_EQ(packed_data_bytes(Packing::kI4, 17, 32), 32 * 16);
  EXPECT_EQ(packed_scale_bytes(Packing::kBF16, 3, 33), 0);
  EXPECT_EQ(packed_scale_bytes(Packing::kI8, 3, 33), 16 * 4);
  EXPECT_EQ(packed_scale_bytes(Packing::kI8, 17, 32), 32 * 4);
  EXPECT_EQ(packed_scale_bytes(Packing::kI4, 3, 33), 16 * 4);
  EXPECT_EQ(packed_scale_bytes(Packing::kI4, 17, 32), 32 * 2);
}

// Weight (o, i) is (o + i) mod 16 - 8 times the scale 2^-o, which makes the scale's own rounding exact.
TEST(Packing, OfFourBitsLiesInTilesOfSixteenRows) {
  std::vector<float> w;
  for (int o = 0; o < 18; ++o) {
    for (int i = 0; i < 64; ++i) w.push_back(std::ldexp(static_cast<float>((o + i) % 16 - 8), -o));
  }
  const Packed packed(Packing::kI4, 18, 64, w.data());
  for (int o = 0; o < 32; ++o) {
    for (int group = 0; group < 2; ++group) {
      const size_t tile_group = static_cast<size_t>(o / 16 * 2 + group), row = static_cast<size_t>(o % 16);
      uint16_t scale;
      std::memcpy(&scale, &packed.scales[(tile_group * 16 + row) * 2], 2);
      EXPECT_EQ(bf16_to_f32(scale), o < 18 ? std::ldexp(1.0f, -o) : 0.0f);
      for (int v = 0; v < 4; ++v) {
        for (int b = 0; b < 4; ++b) {
          const int low = (o + 8 * v + b) % 16, high = (o + 8 * v + 4 + b) % 16;
          const int byte =
              packed.data[((tile_group * 4 + static_cast<size_t>(v)) * 16 + row) * 4 + static_cast<size_t>(b)];
          EXPECT_EQ(byte, o < 18 ? low + 16 * high : 0) << o << " " << group << " " << v << " " << b;
        }
      }
    }
  }
}

// Weight (o, i) is 3 (o + i) mod 255 - 127 times the scale 2^-o.
TEST(Packing, OfEightBitsLiesInTilesOfSixteenRows) {
  auto number = [](int o, int i) { return 3 * (o + i) % 255 - 127; };
  std::vector<float> w;
  for (int o = 0; o < 18; ++o) {
    for (int i = 0; i < 96; ++i) w.push_back(std::ldexp(static_cast<float>(number(o, i)), -o));
  }
  const Packed packed(Packing::kI8, 18, 96, w.data());
  for (int o = 0; o < 32; ++o) {
    float scale;
    std::memcpy(&scale, &packed.scales[static_cast<size_t>(o) * 4], 4);
    EXPECT_EQ(scale, o < 18 ? std::ldexp(1.0f, -o) : 0.0f);
    for (int i = 0; i < 96; ++i) {
      const int word = ((o / 16 * 3 + i / 32) * 8 + i % 32 / 4) * 16 + o % 16;
      const int byte = packed.data[static_cast<size_t>(4 * word + i % 4)];
      EXPECT_EQ(byte, o < 18 ? number(o, i) + 128 : 0) << o << " " << i;
    }
  }
}

// As the engine packs with several threads.
TEST(Packing, OfTilesIsThePackingOfTheMatrix) {
  constexpr int64_t kO = 70, kI = 45;
  const Buffer<float> w = random_buffer(kO * kI, 4);
  for (Packing packing : kPackings) {
    Packed parts(packing, kO, kI, std::vector<float>(static_cast<size_t>(kO * kI)).data());
    for (int64_t begin = 0; begin < kO; begin += 2 * kPackedTile) {
      pack(packing, std::min(2 * kPackedTile, kO - begin), kI, w.data() + begin * kI,
           parts.data.data() + packed_data_bytes(packing, begin, kI),
           parts.scales.data() + packed_scale_bytes(packing, begin, kI));
    }
    const Packed whole(packing, kO, kI, w.data());
    EXPECT_EQ(parts.data, whole.data);
    EXPECT_EQ(parts.scales, whole.scales);
  }
}

TEST(PackedLinear, UnpacksAsTheReference) {
  for_each_target([] {
    for (Packing packing : kPackings) {
      for (int64_t I : {1, 7, 16, 31, 32, 33, 64, 100}) {
        const Packed packed(packing, 18, I, random_buffer(18 * I, 2).data());
        Buffer<float> w(17 * I);
        cpu::unpack_rows(packed.matrix, 1, 17, w.data());
        const std::vector<double> all = packed.values();
        expect_near(w, std::vector<double>(all.begin() + I, all.end()), 3 * kEps, 1e-30, "unpacked");
      }
    }
  });
}

// What the product takes for x.
std::vector<double> taken(Packing packing, int64_t N, int64_t I, const Buffer<float>& x) {
  std::vector<double> values(static_cast<size_t>(N * I));
  packing == Packing::kBF16 ? reference::round_to_bf16(N * I, x.data(), values.data())
                            : reference::round_to_bytes(N, I, x.data(), values.data());
  return values;
}

std::vector<float> product(int64_t N, const Buffer<float>& x, const Packed& w, const float* bias = nullptr) {
  Buffer<float> y(N * w.matrix.O), scratch(cpu::packed_linear_scratch(N, w.matrix));
  cpu::packed_linear(N, x.data(), w.matrix, bias, y.data(), scratch.data());
  return y.values();
}

TEST(PackedLinear, IsTheProductWithTheUnpackedWeights) {
  for_each_product([] {
    for (Packing packing : kPackings) {
      for (int64_t N : {1, 2, 3, 7, 8, 13, 16, 31, 40, 64, 65, 130}) {
        for (int64_t I : {0, 1, 16, 33, 100}) {
          for (int64_t O : {1, 3, 4, 9, 16, 34}) {
            const Buffer<float> x = random_buffer(N * I, 1), bias = random_buffer(O, 3);
            const Packed packed(packing, O, I, random_buffer(O * I, 2).data());
            for (bool biased : {false, true}) {
              Buffer<float> y(N * O), scratch(cpu::packed_linear_scratch(N, packed.matrix));
              cpu::packed_linear(N, x.data(), packed.matrix, biased ? bias.data() : nullptr, y.data(), scratch.data());
              std::vector<double> want(static_cast<size_t>(N * O));
              reference::linear(N, I, O, taken(packing, N, I, x).data(), packed.values().data(),
                                biased ? bias.doubles().data() : nullptr, want.data());
              // As for float weights.
              expect_near(y, want, kEps, kEps * 16 * static_cast<double>(I + 4), "packed linear");
            }
          }
        }
      }
    }
  });
}

// Every sum of the group at its largest, either way, with as many rows as are multiplied at a time.
TEST(PackedLinear, HoldsTheLargestSums) {
  for (Packing packing : kTiled) {
    const float most = packing == Packing::kI4 ? 7.0f : 127.0f, first = packing == Packing::kI4 ? 8.0f : -127.0f;
    std::vector<float> w(32, -most);
    w[0] = first;  // of four bits: the scale -1, so that the others are 7 steps up, which is stored as 15
    std::vector<float> other(32, most);
    other[0] = -first;
    w.insert(w.end(), other.begin(), other.end());
    const Packed packed(packing, 2, 32, w.data());
    for_each_product([&] {
      for (int64_t N : {1, 4, 8, 16}) {
        for (float sign : {-1.0f, 1.0f}) {
          const Buffer<float> x(N * 32, 1, 127 * sign);
          const float sum = sign * 127 * (first - 31 * most);
          const std::vector<float> y = product(N, x, packed);
          for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], i % 2 == 0 ? sum : -sum);
        }
      }
    });
  }
}

// Products and sums of a group are exact, so that the way they come about and the number of rows do not matter.
TEST(PackedLinear, OfBytesIsTheSameWithAndWithoutVnniAndRowByRow) {
  constexpr int64_t kN = 29, kI = 300, kO = 50;
  const Buffer<float> x = random_buffer(kN * kI, 1), w = random_buffer(kO * kI, 2);
  for (Packing packing : kTiled) {
    const Packed packed(packing, kO, kI, w.data());
    const std::vector<float> all = product(kN, x, packed);
    cpu::allow_vnni(false);
    EXPECT_EQ(product(kN, x, packed), all);
    cpu::allow_vnni(true);
    for (int64_t n = 0; n < kN; ++n) {
      Buffer<float> row(kI);
      std::copy_n(x.data() + n * kI, kI, row.data());
      EXPECT_EQ(product(1, row, packed), std::vector<float>(all.begin() + n * kO, all.begin() + (n + 1) * kO));
    }
  }
}

// Half a step of its group for each element of x, times the weight.
void expect_near_the_product_with_floats(Packing packing) {
  constexpr int64_t kN = 5, kI = 100, kO = 20;
  const Buffer<float> x = random_buffer(kN * kI, 1);
  const Packed packed(packing, kO, kI, random_buffer(kO * kI, 2).data());
  const std::vector<float> y = product(kN, x, packed);
  const std::vector<double> w = packed.values();
  double largest_distance = 0;
  for (int64_t n = 0; n < kN; ++n) {
    for (int64_t o = 0; o < kO; ++o) {
      double want = 0, bound = 0;
      for (int64_t i = 0; i < kI; ++i) {
        const int64_t begin = i / kPackedGroup * kPackedGroup, end = std::min(kI, begin + kPackedGroup);
        double most = 0;
        for (int64_t j = begin; j < end; ++j) most = std::max<double>(most, std::abs(x.data()[n * kI + j]));
        const double weight = w[static_cast<size_t>(o * kI + i)];
        want += x.data()[n * kI + i] * weight;
        bound += std::abs(weight) * most * (0.5 / 127 + 8 * kEps);  // rounding of the float sums
      }
      const double distance = std::abs(y[static_cast<size_t>(n * kO + o)] - want);
      EXPECT_LE(distance, bound);
      largest_distance = std::max(largest_distance, distance / bound);
    }
  }
  EXPECT_GT(largest_distance, 0.01);  // x is rounded
}

TEST(PackedLinear, OfBytesIsNearTheProductWithFloats) {
  for (Packing packing : kTiled) expect_near_the_product_with_floats(packing);
}

TEST(PackedLinear, OfBytesRoundsEveryKindOfGroup) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  Buffer<float> x(6 * 32, 1, 1.0f);
  for (int64_t i = 0; i < 32; ++i) {
    x[i] = 0;                                            // zeros
    x[32 + i] = static_cast<float>(i) * 0x1p-149f;       // the smallest floats
    x[64 + i] = std::ldexp(1.0f, static_cast<int>(i));   // of many sizes
    x[96 + i] = (static_cast<float>(i) - 15.5f) * 8.0f;  // halfway between two steps
  }
  x[96] = -127;
  x[128 + 5] = kInf;
  x[160 + 9] = std::numeric_limits<float>::quiet_NaN();
  for (Packing packing : kTiled) {
    const Packed packed(packing, 3, 32, random_buffer(3 * 32, 2).data());
    std::vector<double> rounded = taken(packing, 6, 32, x), want(18);
    reference::linear(6, 32, 3, rounded.data(), packed.values().data(), nullptr, want.data());
    for_each_product([&] {
      const std::vector<float> y = product(6, x, packed);
      for (size_t i = 0; i < 12; ++i) EXPECT_NEAR(y[i], want[i], 4 * kEps * std::abs(want[i]) + 0x1p-140) << i;
      for (size_t i = 12; i < 18; ++i) EXPECT_TRUE(std::isnan(y[i]) && std::isnan(want[i])) << i;
    });
  }
}

// 1 + 2^-8 is halfway between two numbers and goes to the even one, with a row alone and with others.
TEST(PackedLinear, OfBf16RoundsEveryNumberOfRows) {
  constexpr int64_t kI = 34;
  const std::vector<float> ones(3 * kI, 1.0f);
  const Packed packed(Packing::kBF16, 3, kI, ones.data());
  for_each_product([&] {
    for (int64_t N : {1, 4, 5, 40, 70, 300}) {
      const Buffer<float> x(N * kI, 1, 1 + 0x1p-8f);
      for (float y : product(N, x, packed)) EXPECT_EQ(y, kI);
    }
  });
}

// What is not finite stays in its row of x and in its row of weights.
TEST(PackedLinear, OfBf16KeepsWhatIsNotFinite) {
  constexpr int64_t kI = 40, kO = 30;
  Buffer<float> w(kO * kI, 1, 1.0f);
  w[7 * kI + 39] = std::numeric_limits<float>::quiet_NaN();
  const Packed packed(Packing::kBF16, kO, kI, w.data());
  for_each_product([&] {
    for (int64_t N : {3, 20, 70, 300}) {
      Buffer<float> x(N * kI, 1, 1.0f);
      x[2 * kI] = std::numeric_limits<float>::infinity();
      const std::vector<float> y = product(N, x, packed);
      for (int64_t i = 0; i < N * kO; ++i) {
        const float found = y[static_cast<size_t>(i)];
        EXPECT_TRUE(i % kO == 7   ? std::isnan(found)
                    : i / kO == 2 ? found == std::numeric_limits<float>::infinity()
                                  : found == kI)
            << N << " " << i;
      }
    }
  });
}

TEST(PackedLinear, IsTheSameOnEveryThreadCount) {
  const Buffer<float> x = random_buffer(5 * 258, 1), w = random_buffer(4001 * 258, 2);
  for (Packing packing : kPackings) {
    const Packed packed(packing, 4001, 258, w.data());
    for (int64_t N : {1, 3, 5}) {
      std::vector<std::vector<float>> results;
      for_each_thread_count([&] { results.push_back(product(N, x, packed)); });
      EXPECT_EQ(results[0], results[1]);
      EXPECT_EQ(results[0], results[2]);
    }
  }
}

}  // namespace
}  // namespace rebased::kernels
