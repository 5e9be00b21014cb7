#include "kernels/bf16_product.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "kernels/kernel_buffers.h"

namespace rebased::kernels {
namespace {

constexpr double kEps = 0x1p-24;  // unit roundoff of float
constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

// With the processor's instructions, where it has them, and without.
template <class Function>
void for_each_way(const Function& f) {
  f();
  SCOPED_TRACE("without instructions");
  cpu::allow_bf16(false);
  f();
  cpu::allow_bf16(true);
}

struct Form {
  bool a_turned, b_turned, b_bf16;
};
constexpr Form kForms[] = {{false, true, false}, {false, false, false}, {true, false, false},
                           {true, true, false},  {false, true, true},   {true, false, true}};

// Operands and an output whose rows are 3 numbers longer than they need be.
struct Case {
  Form form;
  bool biased, accumulate;
  int64_t M, N, K, ldc;
  Buffer<float> a, b, bias, c;
  std::vector<uint16_t> b_bits;

  Case(Form of, int64_t m, int64_t n, int64_t k, bool with_bias = false, bool adds = false)
      : form(of),
        biased(with_bias),
        accumulate(adds),
        M(m),
        N(n),
        K(k),
        ldc(n + 3),
        a(random_buffer(m * k, 1)),
        b(random_buffer(n * k, 2)),
        bias(random_buffer(n, 3)),
        c(random_buffer(m * ldc, 4)) {
    for (float value : b.values()) b_bits.push_back(f32_to_bf16(value));
  }

  Bf16ProductArgs args() {
    Bf16ProductArgs args{.M = M, .N = N, .K = K, .a = a.data(), .a_turned = form.a_turned};
    args.b = form.b_bf16 ? nullptr : b.data();
    args.b_bf16 = form.b_bf16 ? b_bits.data() : nullptr;
    args.b_turned = form.b_turned;
    args.bias = biased ? bias.data() : nullptr;
    args.c = c.data();
    args.ldc = ldc;
    args.accumulate = accumulate;
    return args;
  }
  Buffer<float> product() {
    Bf16ProductArgs run = args();
    Buffer<float> result(M * ldc), scratch(cpu::bf16_product_scratch(run));
    std::copy_n(c.data(), M * ldc, result.data());
    run.c = result.data();
    run.scratch = scratch.data();
    cpu::bf16_product(run);
    return result;
  }
  std::vector<double> oracle() {
    std::vector<double> want(static_cast<size_t>(M * N));
    reference::bf16_product(args(), want.data());
    return want;
  }
  // The same with absolute values: the condition of each sum.
  std::vector<double> oracle_of_sizes() {
    Case sizes(form, M, N, K, biased, accumulate);
    for (int64_t i = 0; i < M * K; ++i) sizes.a[i] = std::abs(a[i]);
    for (int64_t i = 0; i < N * K; ++i) sizes.b[i] = std::abs(b[i]);
    for (uint16_t& bits : sizes.b_bits) bits &= 0x7fff;
    for (int64_t i = 0; i < N; ++i) sizes.bias[i] = std::abs(bias[i]);
    return sizes.oracle();
  }
};

// With 1, 2 and 3 threads. Products are exact; of the sums, one rounding a term, one a block of K and two for bias and
// what was there.
void expect_product(Case& one) {
  const std::vector<double> want = one.oracle(), sizes = one.oracle_of_sizes();
  for_each_thread_count([&] {
    const Buffer<float> got = one.product();
    int reported = 0;
    for (int64_t m = 0; m < one.M && reported < 3; ++m) {
      for (int64_t n = 0; n < one.ldc && reported < 3; ++n) {
        const double before = one.c[m * one.ldc + n], found = got.data()[m * one.ldc + n];
        if (n >= one.N) {
          EXPECT_EQ(found, before);
          continue;
        }
        const auto at = static_cast<size_t>(m * one.N + n);
        const double there = one.accumulate ? before : 0;
        const double bound = kEps * (static_cast<double>(one.K) * 1.01 + 4) * (sizes[at] + std::abs(there));
        if (std::abs(found - want[at] - there) <= bound) continue;
        ADD_FAILURE() << "at " << m << ", " << n << ": " << found << " instead of " << want[at] + there;
        ++reported;
      }
    }
  });
}

std::string name(const Form& form) {
  return std::string(form.a_turned ? "a turned " : "") + (form.b_turned ? "b turned " : "") +
         (form.b_bf16 ? "b bfloat16" : "");
}

TEST(Bf16Product, IsTheProductOfRoundedNumbers) {
  for_each_way([] {
    for (const Form& form : kForms) {
      SCOPED_TRACE(name(form));
      for (int64_t M : {1, 7, 8, 9, 130}) {
        for (int64_t N : {1, 15, 16, 17, 33, 48, 49, 100}) {
          for (int64_t K : {1, 2, 7, 8, 31, 33, 64}) {
            Case one(form, M, N, K);
            expect_product(one);
          }
        }
      }
    }
  });
}

// Several blocks of rows and of K, with and without what else may be added.
TEST(Bf16Product, AddsUpBlocks) {
  for_each_way([] {
    for (const Form& form : kForms) {
      SCOPED_TRACE(name(form));
      for (bool extras : {false, true}) {
        Case one(form, 137, 53, 1061, extras, extras);
        expect_product(one);
      }
    }
  });
}

TEST(Bf16Product, AddsBiasAndWhatIsThere) {
  for_each_way([] {
    for (bool biased : {false, true}) {
      for (bool accumulate : {false, true}) {
        Case one({false, true, false}, 9, 70, 600, biased, accumulate);
        expect_product(one);
      }
    }
  });
}

// More than is packed at a time.
TEST(Bf16Product, CutsLargeMatrices) {
  for (const Form& form : kForms) {
    SCOPED_TRACE(name(form));
    Case wide(form, 3, 2500, 40), deep(form, 3, 60, 2500, true, true);
    expect_product(wide);
    expect_product(deep);
  }
}

TEST(Bf16Product, IsTheSameOnEveryThreadCount) {
  for (int64_t M : {5, 300}) {
    Case one({false, true, false}, M, 200, 777);
    std::vector<std::vector<float>> results;
    for_each_thread_count([&] { results.push_back(one.product().values()); });
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

TEST(Bf16Product, RunsOnEveryTarget) {
  for_each_target([] {
    Case one({false, true, false}, 20, 50, 70, true);
    expect_product(one);
  });
}

TEST(Bf16Product, OfNothingIsBias) {
  for_each_way([] {
    for (bool biased : {false, true}) {
      for (bool accumulate : {false, true}) {
        Case one({false, true, false}, 9, 20, 0, biased, accumulate);
        expect_product(one);
      }
    }
    Case none({false, true, false}, 0, 20, 5);
    expect_product(none);
  });
}

// 1 + 2^-8 lies halfway between two bfloat16 numbers and goes to the even one; the largest float becomes infinity.
TEST(Bf16Product, RoundsToNearestEven) {
  const std::vector<float> from = {
      1 + 0x1p-8f, 1 + 0x3p-8f, 1 + 0x1.01p-8f, -1 - 0x1p-8f, 0, -0.0f, std::numeric_limits<float>::max()};
  const std::vector<float> to = {1, 1 + 0x1p-6f, 1 + 0x1p-7f, -1, 0, -0.0f, kInf};
  std::vector<float> rounded(from.size());
  cpu::round_to_bf16(static_cast<int64_t>(from.size()), from.data(), rounded.data());
  EXPECT_EQ(rounded, to);
  for_each_way([&] {
    for (const Form& form : kForms) {
      SCOPED_TRACE(name(form));
      for (size_t i = 0; i < from.size(); ++i) {
        Case one(form, 1, 1, 1);
        one.a[0] = from[i];
        one.b[0] = 1;
        one.b_bits = {f32_to_bf16(1)};
        EXPECT_EQ(one.product()[0], to[i]) << i;
        if (form.b_bf16) continue;
        std::swap(one.a[0], one.b[0]);
        EXPECT_EQ(one.product()[0], to[i]) << i;
      }
    }
  });
}

// Row 2 of a holds what is not finite, and so does column 3 of b; nothing else is touched by it. A NaN whose bits end
// in ones is one that rounding up would turn into zero.
TEST(Bf16Product, KeepsWhatIsNotFinite) {
  constexpr int64_t kM = 10, kN = 20, kK = 41;
  const float all_ones = std::bit_cast<float>(0x7fffffff), least_nan = std::bit_cast<float>(0x7f800001);
  for_each_way([&] {
    for (const Form& form : kForms) {
      if (form.b_bf16) continue;
      SCOPED_TRACE(name(form));
      for (float strange : {kNan, all_ones, least_nan, kInf}) {
        Case one(form, kM, kN, kK);
        for (int64_t i = 0; i < kM * kK; ++i) one.a[i] = std::abs(one.a[i]) + 0.1f;
        for (int64_t i = 0; i < kN * kK; ++i) one.b[i] = std::abs(one.b[i]) + 0.1f;
        for (int64_t k : {0, 40}) {
          one.a[form.a_turned ? k * kM + 2 : 2 * kK + k] = strange;
          one.b[form.b_turned ? 3 * kK + k : k * kN + 3] = strange;
        }
        const Buffer<float> got = one.product();
        for (int64_t m = 0; m < kM; ++m) {
          for (int64_t n = 0; n < kN; ++n) {
            const float found = got.data()[m * one.ldc + n];
            const bool hit = m == 2 || n == 3;
            EXPECT_TRUE(!hit              ? std::isfinite(found)
                        : strange == kInf ? found == kInf
                                          : std::isnan(found))
                << m << " " << n << " " << found;
          }
        }
      }
    }
  });
}

}  // namespace
}  // namespace rebased::kernels
