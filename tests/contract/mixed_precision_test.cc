#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "engine/reference/reference_engine.h"
#include "engine/tape/tape_engine.h"
#include "support/torch.h"

namespace rebased::testing {
namespace {

HostArray rounded(HostArray x) {
  for (double& element : x.data) element = bf16_to_f32(f32_to_bf16(static_cast<float>(element)));
  return x;
}

// An engine that rounds the operands of products, and how far its results may be off.
struct Rounding {
  const char* name;
  std::unique_ptr<Engine> engine;
  double error;  // relative to the largest element

  double bound(const HostArray& exact) const { return error * std::max(1.0, exact.max_abs()); }
};

// Sums of at most 100 products of normal numbers; where the processor multiplies bfloat16 itself, libtorch also rounds
// the result to 8 bits.
std::vector<Rounding> rounding_engines() {
  constexpr double kSums = 100 * 0x1p-24;
  std::vector<Rounding> all;
  if (auto torch = make_torch_engine(DType::kF32, true, true)) {
    all.push_back({"torch", std::move(torch), bf16_products_are_widened() ? kSums : 0x1p-8});
  }
  all.push_back({"tape", std::make_unique<TapeEngine>(Precision::kBF16), kSums});
  return all;
}

struct Linear {
  HostArray x, w, bias;
};

struct Result {
  HostArray y;
  std::vector<std::optional<HostArray>> grads;
};

Result run(Engine& engine, const Linear& operands, const HostArray& dy) {
  const std::vector<Value> leaves = {write(engine, operands.x), write(engine, operands.w),
                                     write(engine, operands.bias)};
  for (const Value& leaf : leaves) track(leaf);
  const Value y = linear(leaves[0], leaves[1], leaves[2]);
  const std::vector<Weighted> loss = {{y, dy}};
  return {read(y), gradients(loss, leaves)};
}

TEST(MixedPrecision, LinearRoundsItsOperandsAndNothingElse) {
  ReferenceEngine f64;
  const Linear all = {HostArray::normal(Shape({3, 7, 70}), 1), HostArray::normal(Shape({33, 70}), 2),
                      HostArray::normal(Shape({33}), 3)};
  const HostArray dy = HostArray::normal(Shape({3, 7, 33}), 4);
  const Result exact = run(f64, {rounded(all.x), rounded(all.w), all.bias}, rounded(dy));
  const Result unrounded = run(f64, all, dy);
  for (const Rounding& mixed : rounding_engines()) {
    SCOPED_TRACE(mixed.name);
    const Result ours = run(*mixed.engine, all, dy);
    EXPECT_EQ(difference("y", ours.y, exact.y, mixed.bound(exact.y)), "");
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(difference("gradient", *ours.grads[i], *exact.grads[i], mixed.bound(*exact.grads[i])), "") << i;
    }
    const HostArray& d_bias = *unrounded.grads[2];
    EXPECT_EQ(difference("gradient of the bias", *ours.grads[2], d_bias, mixed.bound(d_bias)), "");
    EXPECT_GT(std::abs(ours.y.data[0] - unrounded.y.data[0]), 0x1p-20);  // it does round
  }
}

TEST(MixedPrecision, LinearWithoutBiasOrGradientOfItsInput) {
  HostArray d_w = HostArray::zeros(Shape({4, 8}));
  const HostArray from = rounded(HostArray::normal(Shape({5, 8}), 1));
  for (size_t i = 0; i < d_w.data.size(); ++i) {
    for (size_t n = 0; n < 5; ++n) d_w.data[i] += from.data[n * 8 + i % 8];
  }
  for (const Rounding& mixed : rounding_engines()) {
    const Value x = write(*mixed.engine, HostArray::normal(Shape({5, 8}), 1)),
                w = write(*mixed.engine, HostArray::normal(Shape({4, 8}), 2));
    track(w);
    const std::vector<Weighted> loss = {{linear(x, w, {}), HostArray::filled(Shape({5, 4}), 1)}};
    const std::vector<Value> leaves = {w};
    EXPECT_EQ(difference("gradient", *gradients(loss, leaves)[0], d_w, mixed.bound(d_w)), "") << mixed.name;
  }
}

// The head rounds what it multiplies for the logits; its gradients are those of the rounded operands, for which our own
// engine rounds the softmax as well.
TEST(MixedPrecision, HeadRoundsItsOperands) {
  ReferenceEngine f64;
  const std::vector<int64_t> labels = {0, 16, 5, 5};
  auto head = [&](Engine& engine, const HostArray& x, const HostArray& e) {
    const std::vector<Value> leaves = {write(engine, x), write(engine, e)};
    for (const Value& leaf : leaves) track(leaf);
    const std::vector<Weighted> loss = {
        {cross_entropy(leaves[0], leaves[1], labels).loss, HostArray::filled(Shape({}), 1)}};
    return std::pair(read(loss[0].output), gradients(loss, leaves));
  };
  const HostArray x = HostArray::normal(Shape({4, 20}), 1), e = HostArray::normal(Shape({17, 20}), 2);
  const auto [exact, exact_grads] = head(f64, rounded(x), rounded(e));
  const double unrounded = head(f64, x, e).first.data[0];
  for (const Rounding& mixed : rounding_engines()) {
    SCOPED_TRACE(mixed.name);
    const auto [loss, grads] = head(*mixed.engine, x, e);
    EXPECT_EQ(difference("loss", loss, exact, 1e-5), "");
    const double bound = std::string(mixed.name) == "tape" ? 0x1p-8 : 1e-5;
    for (size_t i = 0; i < 2; ++i) EXPECT_EQ(difference("gradient", *grads[i], *exact_grads[i], bound), "");
    EXPECT_GT(std::abs(loss.data[0] - unrounded), 1e-5);
  }
}

}  // namespace
}  // namespace rebased::testing
