#include <gtest/gtest.h>

#include "cores/dropout/dropout.h"
#include "cores/quadratic_attention/quadratic_attention.h"
#include "engine/reference/reference_engine.h"
#include "support/torch.h"

namespace rebased::testing {
namespace {

// Without kernels, float32 runs the composites that float64 runs.
TEST(TorchEngine, DropsTheSameElementsInItsComposite) {
  const auto composite = make_torch_engine(DType::kF32, false);
  ReferenceEngine reference;
  const HostArray x = HostArray::filled(Shape({31, 33}), 1);
  const HostArray expected = read(dropout(write(reference, x), 0.25, 42));
  EXPECT_EQ(difference("dropout", read(dropout(write(*composite, x), 0.25, 42)), expected, 1e-7), "");
}

// Wider keys than the kernels take run in the composite form.
TEST(TorchEngine, TakesWideKeys) {
  const auto f32 = make_torch_engine(DType::kF32), f64 = make_torch_engine(DType::kF64);
  for (const int64_t Dk : {kernels::kMaxKeyDim, kernels::kMaxKeyDim + 1}) {
    const HostArray x = HostArray::normal(Shape({1, 7, 2, Dk}), 3);
    auto run = [&](Engine& engine) {
      return read(quadratic_attention(write(engine, x), write(engine, x), write(engine, x),
                                      {.kernel = {}, .scale = 0.1, .eps = 0.1}));
    };
    EXPECT_EQ(difference("wide keys", run(*f32), run(*f64), 1e-4), "") << Dk;
  }
}

// Mixed precision leaves other types of an engine as they are.
TEST(TorchEngine, RoundsOnlyFloat32) {
  const auto plain = make_torch_engine(DType::kF64), asked = make_torch_engine(DType::kF64, true, true);
  const HostArray x = HostArray::normal(Shape({5, 8}), 1), w = HostArray::normal(Shape({4, 8}), 2);
  auto product = [&](Engine& engine) { return read(linear(write(engine, x), write(engine, w), {})); };
  EXPECT_EQ(difference("y", product(*asked), product(*plain), 0), "");
}

}  // namespace
}  // namespace rebased::testing
