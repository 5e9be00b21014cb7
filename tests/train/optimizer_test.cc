#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <array>

#include "engine/tape/tape_engine.h"

namespace rebased {
namespace {

// One parameter of each group after some steps on the same gradients.
class Stepped {
 public:
  explicit Stepped(OptimizerRecipe recipe, double lr = 0.01) {
    const Scope scope(store_, "", 1, 1);
    scope.param("plain", kShape, init::constant(0.5));
    scope.gain_or_bias("gain", kShape, init::constant(0.5));
    scope.param("never", kShape, init::constant(0.5), {.decay = WeightDecay::kNever});
    scope.param("slow", kShape, init::constant(0.5), {.lr_scale = 0.25});
    scope.matrix("still", kShape, init::constant(0.5), {.decay = WeightDecay::kNever, .lr_scale = 3});
    store_.initialise(engine_, 1);
    AdamW optimizer(store_, engine_, recipe);
    for (int step = 0; step < 5; ++step) {
      optimizer.zero_grad();
      for (Param& param : store_.params()) {
        const Value squared[] = {unary(UnaryOp::kSquare, param.value)},
                    weight[] = {engine_.full(kShape, DType::kF32, 1)};
        engine_.autograd()->backward(squared, weight);
      }
      optimizer.step(lr, 1);
    }
  }

  std::vector<float> operator[](std::string_view name) {
    std::vector<float> numbers(6);
    engine_.to_host(store_.at(name).value, numbers.data(), DType::kF32);
    return numbers;
  }

 private:
  inline static const Shape kShape{2, 3};
  TapeEngine engine_;
  ParameterStore store_;
};

TEST(ParameterGroups, DecayAsTheyAreDeclared) {
  Stepped all({.weight_decay = 0.5, .decay = "all"}), matrices({.weight_decay = 0.5, .decay = "matrices"}),
      none({.weight_decay = 0});
  EXPECT_NE(all["plain"], none["plain"]);
  EXPECT_EQ(all["plain"], matrices["plain"]);
  EXPECT_EQ(all["gain"], all["plain"]);
  EXPECT_EQ(matrices["gain"], none["gain"]);
  for (const char* name : {"never", "still"}) {
    EXPECT_EQ(all[name], none[name]) << name;
    EXPECT_EQ(matrices[name], none[name]) << name;
  }
}

TEST(ParameterGroups, LearnAtTheirOwnRate) {
  const OptimizerRecipe recipe{.weight_decay = 0.5};
  Stepped usual(recipe, 0.01), quarter(recipe, 0.01 * 0.25), threefold({.weight_decay = 0}, 0.01 * 3);
  EXPECT_EQ(usual["slow"], quarter["plain"]);
  EXPECT_NE(usual["slow"], usual["plain"]);
  EXPECT_EQ(usual["still"], threefold["plain"]);
}

}  // namespace
}  // namespace rebased
