#include "nn/head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "engine/cpu/cpu_engine.h"
#include "engine/reference/reference_engine.h"
#include "nn/models.h"
#include "support/gradients.h"

namespace rebased::testing {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kRows = 3, kTokens = 7, kWidth = 5, kClasses = 4;

Json config_with(const Json& head) {
  return {{"d_model", 8},
          {"n_layers", 2},
          {"max_tokens", 16},
          {"embed_dropout", 0},
          {"input", {{"type", "features"}, {"width", kWidth}}},
          {"head", head},
          {"mixers", {{{"type", "base_conv"}}, {{"type", "attention"}, {"causal", false}}}}};
}

Batch features() {
  Batch batch{.rows = kRows};
  std::vector<float> numbers;
  for (int64_t i = 0; i < kRows * kTokens * kWidth; ++i) numbers.push_back(std::sin(0.7f * static_cast<float>(i * i)));
  batch.inputs["features"] = {.shape = Shape({kRows, kTokens, kWidth}), .numbers = numbers};
  return batch;
}

// Row 0 whole, row 1 padded in front, row 2 with two documents, of which the last one counts.
Layout ragged() {
  return {kRows,
          kTokens,
          {{.row = 0, .begin = 0, .length = kTokens},
           {.row = 1, .begin = 3, .length = 4},
           {.row = 2, .begin = 0, .length = 2},
           {.row = 2, .begin = 2, .length = 4, .continues = false}}};
}

// [rows * tokens, answers] logits of every token.
std::vector<std::vector<double>> all_logits(SequenceModel& model, const Batch& batch) {
  const Value logits = model.logits(model.hidden(batch, {}, nullptr));
  std::vector<float> numbers(static_cast<size_t>(logits.shape().numel()));
  logits.engine().to_host(logits, numbers.data(), DType::kF32);
  std::vector<std::vector<double>> rows;
  for (size_t i = 0; i < numbers.size(); i += kClasses)
    rows.emplace_back(numbers.begin() + i, numbers.begin() + i + kClasses);
  return rows;
}

double nll_of(const std::vector<double>& logits, int64_t answer) {
  double sum = 0;
  for (const double x : logits) sum += std::exp(x);
  return std::log(sum) - logits[static_cast<size_t>(answer)];
}

class ClassOfRows : public ::testing::TestWithParam<std::string> {};

// Logits are linear in what is pooled, so that those of a mean are the mean of those.
TEST_P(ClassOfRows, IsReadOffTheLastDocument) {
  SequenceModel model = model_from(config_with({{"type", "class"}, {"classes", kClasses}, {"pooling", GetParam()}}));
  CpuEngine engine;
  model.parameters().initialise(engine, 3);
  Batch batch = features();
  batch.layout = ragged();
  batch.targets = {2, 0, 3};
  const auto logits = all_logits(model, batch);
  const ModelLoss found = model.loss(batch, {});
  ASSERT_EQ(found.positions, (std::vector<int64_t>{0, 1, 2}));
  const std::pair<int64_t, int64_t> documents[] = {
      {0, kTokens}, {kTokens + 3, 2 * kTokens}, {2 * kTokens + 2, 2 * kTokens + 6}};
  for (size_t row = 0; row < 3; ++row) {
    const auto [begin, end] = documents[row];
    std::vector<double> pooled = logits[static_cast<size_t>(GetParam() == "first" ? begin : end - 1)];
    if (GetParam() == "mean") {
      pooled.assign(kClasses, 0);
      for (int64_t t = begin; t < end; ++t) {
        for (size_t c = 0; c < kClasses; ++c)
          pooled[c] += logits[static_cast<size_t>(t)][c] / static_cast<double>(end - begin);
      }
    }
    EXPECT_NEAR(found.nll[row], nll_of(pooled, batch.targets[row]), 1e-5) << row;
  }
  batch.targets = {-1, 0, -1};  // one row alone is asked
  EXPECT_NEAR(model.loss(batch, {}).nll.front(), found.nll[1], 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Poolings, ClassOfRows, ::testing::Values("last", "first", "mean"),
                         [](const auto& test) { return test.param; });

TEST(LabelsOfTokens, AreReadOffEveryToken) {
  SequenceModel model = model_from(config_with({{"type", "labels"}, {"classes", kClasses}}));
  CpuEngine engine;
  model.parameters().initialise(engine, 3);
  Batch batch = features();
  batch.layout = ragged();
  batch.targets.assign(kRows * kTokens, -100);
  for (const int64_t at : {0, 6, 11, 15, 19}) batch.targets[static_cast<size_t>(at)] = at % kClasses;
  const auto logits = all_logits(model, batch);
  const ModelLoss found = model.loss(batch, {});
  ASSERT_EQ(found.positions, (std::vector<int64_t>{0, 6, 11, 15, 19}));
  for (size_t i = 0; i < found.positions.size(); ++i) {
    const auto at = static_cast<size_t>(found.positions[i]);
    EXPECT_NEAR(found.nll[i], nll_of(logits[at], batch.targets[at]), 1e-5) << at;
  }
}

TEST(Heads, GiveEveryParameterAGradient) {
  for (const Json& head :
       {Json{{"type", "class"}, {"classes", kClasses}, {"pooling", "mean"}},
        Json{{"type", "class"}, {"classes", kClasses}}, Json{{"type", "labels"}, {"classes", kClasses}}}) {
    SequenceModel model = model_from(config_with(head));
    ReferenceEngine engine;
    model.parameters().initialise(engine, 3);
    std::vector<Value> leaves;
    for (const Param& param : model.parameters().params()) {
      track(param.value);
      leaves.push_back(param.value);
    }
    Batch batch = features();
    batch.targets.assign(head["type"] == "class" ? kRows : kRows * kTokens, 1);
    const Value loss = model.loss(batch, {.training = true}).loss;
    const std::vector<Weighted> weighted = {{loss, HostArray::filled(Shape{}, 1)}};
    const auto found = gradients(weighted, leaves);
    for (size_t i = 0; i < leaves.size(); ++i) {
      EXPECT_TRUE(found[i] && found[i]->max_abs() > 0) << model.parameters().params()[i].spec.name << " of " << head;
    }
  }
}

std::string refusal_of(const Json& config) {
  try {
    model_from(config);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "";
}

TEST(Heads, RefuseOptionsThatCannotTakeEffect) {
  EXPECT_THAT(refusal_of(config_with({{"type", "class"}})), HasSubstr("head.classes: class needs their number"));
  EXPECT_THAT(refusal_of(config_with({{"classes", 3}})), HasSubstr("head.classes cannot take effect with tokens"));
  EXPECT_THAT(refusal_of(config_with({{"type", "labels"}, {"classes", 3}, {"pooling", "mean"}})),
              HasSubstr("head.pooling cannot take effect with labels"));
  Json config = config_with(Json::object());
  config["input"] = {{"type", "features"}};
  EXPECT_THAT(refusal_of(config), HasSubstr("input.width: features need a width"));
  config["input"] = {{"width", 3}};
  EXPECT_THAT(refusal_of(config), HasSubstr("input.width cannot take effect with tokens"));
}

TEST(Heads, RefuseTargetsAndInputsThatDoNotFit) {
  SequenceModel model = model_from(config_with({{"type", "class"}, {"classes", kClasses}}));
  CpuEngine engine;
  model.parameters().initialise(engine, 3);
  const auto refusal = [&](const Batch& batch) {
    try {
      model.loss(batch, {});
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  Batch batch = features();
  EXPECT_THAT(refusal(batch), HasSubstr("targets: expected 3, found 0"));
  batch.targets = {-1, -1, -1};
  EXPECT_THAT(refusal(batch), HasSubstr("nothing is asked"));
  batch.targets = {0, 1, 2};
  batch.layout = Layout(kRows, kTokens, {{.row = 0, .begin = 0, .length = 2}, {.row = 2, .begin = 0, .length = 2}});
  EXPECT_THAT(refusal(batch), HasSubstr("row 1 has a class but no tokens"));
  batch.inputs["features"].shape = Shape({kRows, kTokens, kWidth + 1});
  EXPECT_THAT(refusal(batch), HasSubstr("features: expected [B, T, 5]"));
  batch.inputs.clear();
  EXPECT_THAT(refusal(batch), HasSubstr("inputs: expected features"));
}

}  // namespace
}  // namespace rebased::testing
