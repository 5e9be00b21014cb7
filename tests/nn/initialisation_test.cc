#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "engine/cpu/cpu_engine.h"
#include "nn/models.h"

namespace rebased::testing {
namespace {

std::vector<double> values_of(const Param& param) {
  std::vector<double> data(static_cast<size_t>(param.spec.shape.numel()));
  param.value.engine().to_host(param.value, data.data(), DType::kF64);
  return data;
}

struct Statistics {
  double mean = 0, std = 0, low = 0, high = 0;
};

Statistics statistics(const Param& param) {
  const std::vector<double> data = values_of(param);
  Statistics s{.low = data[0], .high = data[0]};
  for (double x : data) {
    s.mean += x / static_cast<double>(data.size());
    s.low = std::min(s.low, x);
    s.high = std::max(s.high, x);
  }
  for (double x : data) s.std += (x - s.mean) * (x - s.mean) / static_cast<double>(data.size());
  s.std = std::sqrt(s.std);
  return s;
}

// Five standard errors of a normal sample's mean and standard deviation.
void expect_normal(const Param& param, double std) {
  const Statistics s = statistics(param);
  const double n = static_cast<double>(param.spec.shape.numel());
  EXPECT_NEAR(s.mean, 0, 5 * std / std::sqrt(n)) << param.spec.name;
  EXPECT_NEAR(s.std, std, 5 * std / std::sqrt(2 * n)) << param.spec.name;
}

void expect_uniform(const Param& param, double bound) {
  const Statistics s = statistics(param);
  const double n = static_cast<double>(param.spec.shape.numel());
  EXPECT_GE(s.low, -bound) << param.spec.name;
  EXPECT_LE(s.high, bound) << param.spec.name;
  EXPECT_NEAR(s.mean, 0, 5 * bound / std::sqrt(3 * n)) << param.spec.name;
  EXPECT_NEAR(s.std, bound / std::sqrt(3.0), 5 * bound / std::sqrt(3 * n)) << param.spec.name;
}

void expect_constant(const Param& param, double value) {
  for (double x : values_of(param)) ASSERT_EQ(x, value) << param.spec.name;
}

Json full_model() {
  const Json mixers = Json::array({Json{{"type", "base_conv"}}, Json{{"type", "rebased"}}, Json{{"type", "attention"}},
                                   Json{{"type", "base_conv"}, {"form", "gated"}}});
  return {{"vocab_size", 500},
          {"d_model", 48},
          {"n_layers", 8},
          {"max_tokens", 40},
          {"mixers", mixers},
          {"init_std", 0.05},
          {"state_mixers", Json::array({Json{{"type", "mlp"}}})}};
}

// Every normal weight N(0, init_std); projections called out_proj and fc2 smaller by sqrt(2 n_layers) = 4; the public
// code leaves proj_o and projection alone. Convolutions U(-1/sqrt K, 1/sqrt K), norms 1 and 0, biases 0.
TEST(Initialisation, FollowsThePublicRules) {
  SequenceModel model = model_from(full_model());
  CpuEngine cpu;
  model.parameters().initialise(cpu, 1);
  int smaller = 0;
  for (const Param& param : model.parameters().params()) {
    const std::string& name = param.spec.name;
    const bool norm = name.find("norm") != std::string::npos || name.find("ln_") != std::string::npos;
    if (name.find(".conv.") != std::string::npos) {
      expect_uniform(param, 1 / std::sqrt(3.0));
    } else if (norm) {
      expect_constant(param, name.ends_with("weight") ? 1 : 0);
    } else if (name.ends_with("bias")) {
      expect_constant(param, 0);
    } else if (name.ends_with("out_proj.weight") || name.ends_with("fc2.weight")) {
      expect_normal(param, 0.05 / 4);
      ++smaller;
    } else {
      expect_normal(param, 0.05);
    }
  }
  EXPECT_EQ(smaller, 2 + 2 + 8);  // of attention, of gated convolutions, of MLPs
}

TEST(Initialisation, CanLeaveResidualProjectionsAlone) {
  Json json = full_model();
  json["rescale_residual"] = false;
  SequenceModel model = model_from(json);
  CpuEngine cpu;
  model.parameters().initialise(cpu, 1);
  expect_normal(model.parameters().at("layers.2.mixer.out_proj.weight"), 0.05);
  expect_normal(model.parameters().at("layers.2.state_mixer.fc2.weight"), 0.05);
}

TEST(Initialisation, IsAFunctionOfSeedAndNameAlone) {
  CpuEngine cpu;
  SequenceModel one = model_from({{"d_model", 24}, {"vocab_size", 30}});
  const Json reversed = Json::array({Json{{"type", "rebased"}}, Json{{"type", "rebased"}}});
  SequenceModel other =
      model_from({{"d_model", 24}, {"vocab_size", 30}, {"mixers", reversed}});  // declares others before
  one.parameters().initialise(cpu, 7);
  other.parameters().initialise(cpu, 7);
  const std::string name = "layers.1.mixer.proj_q.weight";
  const std::vector<double> first = values_of(one.parameters().at(name));
  EXPECT_EQ(values_of(other.parameters().at(name)), first);
  other.parameters().initialise(cpu, 8);
  EXPECT_NE(values_of(other.parameters().at(name)), first);
  EXPECT_NE(values_of(one.parameters().at("layers.1.mixer.proj_k.weight")), first);
}

TEST(Initialisation, OfFeatureMaps) {
  const auto map = [](const Json& options) {
    return Json{{"type", "linear_attention"}, {"num_heads", 1}, {"feature_dim", 16}, {"feature_map", options}};
  };
  const Json mixers = Json::array({map({{"name", "performer"}, {"size", 40}}), map({{"name", "hedgehog"}}),
                                   map({{"name", "all_poly"}, {"size", 64}})});
  SequenceModel model = model_from({{"d_model", 16}, {"n_layers", 3}, {"vocab_size", 8}, {"mixers", mixers}});
  CpuEngine cpu;
  model.parameters().initialise(cpu, 1);
  const Param& projection = model.parameters().at("layers.0.mixer.feature_map.projection");
  EXPECT_FALSE(projection.spec.trainable);
  const std::vector<double> rows = values_of(projection);
  auto dot = [&](size_t i, size_t j) {
    double sum = 0;
    for (size_t c = 0; c < 16; ++c) sum += rows[i * 16 + c] * rows[j * 16 + c];
    return sum;
  };
  for (size_t i = 0; i < 40; ++i) EXPECT_NEAR(dot(i, i), 16.0 / 40, 1e-6);  // unit rows over sqrt(m / d)
  EXPECT_NEAR(dot(0, 15), 0, 1e-6);                                         // orthogonal within a block of 16
  EXPECT_NEAR(dot(32, 39), 0, 1e-6);
  EXPECT_GT(std::abs(dot(0, 16)), 1e-6);
  const std::vector<double> identity = values_of(model.parameters().at("layers.1.mixer.feature_map.layer.weight"));
  for (size_t i = 0; i < identity.size(); ++i) EXPECT_EQ(identity[i], i % 17 == 0 ? 1 : 0);
  expect_normal(model.parameters().at("layers.2.mixer.feature_map.proj_1.weight"), 0.25);
}

TEST(Initialisation, OfTheImplicitFilter) {
  const Json mixer{{"type", "base_conv"}, {"filter", "implicit"}, {"max_tokens", 5}};
  SequenceModel model =
      model_from({{"d_model", 12}, {"n_layers", 1}, {"vocab_size", 8}, {"mixers", Json::array({mixer})}});
  CpuEngine cpu;
  model.parameters().initialise(cpu, 1);
  const Param& hidden = model.parameters().at("layers.0.mixer.conv.mlp.0.weight");
  EXPECT_EQ(hidden.spec.shape, Shape({16, 3}));  // whatever d_model is
  EXPECT_EQ(model.parameters().at("layers.0.mixer.conv.mlp.2.weight").spec.shape, Shape({12, 16}));
  const Param& lags = model.parameters().at("layers.0.mixer.conv.lag_features");
  EXPECT_FALSE(lags.spec.trainable);
  const std::vector<double> features = values_of(lags);
  for (size_t t = 0; t < 5; ++t) {
    const double angle = 1e-4 * 2 * M_PI * static_cast<double>(t) / 5;
    EXPECT_NEAR(features[3 * t], static_cast<double>(t) / 4, 1e-7);
    EXPECT_NEAR(features[3 * t + 1], std::cos(angle), 1e-7);
    EXPECT_NEAR(features[3 * t + 2], -std::sin(angle), 1e-10);
  }
}

// Weight decay may be kept from gains and biases.
TEST(Parameters, SayWhichAreWeightDecayed) {
  const SequenceModel model = model_from(full_model());
  for (const Param& param : model.parameters().params()) {
    const bool matrix = param.spec.shape.rank() > 1;
    if (!param.spec.trainable) continue;
    EXPECT_EQ(param.spec.group.decay, matrix ? WeightDecay::kAlways : WeightDecay::kWithAll) << param.spec.name;
  }
}

TEST(Parameters, AreDeclaredWithTheirGroup) {
  ParameterStore store;
  const Scope scope(store, "a", 1, 1);
  scope.param("w", Shape({1}), init::constant(0), {.decay = WeightDecay::kNever, .lr_scale = 0.25});
  scope.matrix("m", Shape({1, 1}), init::constant(0), {.lr_scale = 3});
  EXPECT_EQ(store.at("a.w").spec.group.decay, WeightDecay::kNever);
  EXPECT_EQ(store.at("a.w").spec.group.lr_scale, 0.25);
  EXPECT_EQ(store.at("a.m").spec.group.decay, WeightDecay::kAlways);
  EXPECT_EQ(store.at("a.m").spec.group.lr_scale, 3);
  for (const double scale : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    EXPECT_THROW(scope.param("x", Shape({1}), init::constant(0), {.lr_scale = scale}), ConfigError);
}

TEST(Parameters, RefuseANameTwice) {
  ParameterStore store;
  const Scope scope(store, "a", 1, 1);
  scope.param("w", Shape({1}), init::constant(0));
  EXPECT_THROW(scope.param("w", Shape({1}), init::constant(0)), ConfigError);
  EXPECT_THROW(store.at("b.w"), ConfigError);
}

}  // namespace
}  // namespace rebased::testing
