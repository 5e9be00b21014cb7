#include <gtest/gtest.h>

#include <cmath>

#include "engine/cpu/cpu_engine.h"
#include "engine/vocabulary.h"
#include "nn/models.h"

namespace rebased::testing {
namespace {

constexpr int64_t kRows = 2, kTokens = 9, kVocab = 11;

std::vector<int64_t> ids() {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < kRows * kTokens; ++i) ids.push_back(i * 7 % kVocab);
  return ids;
}

Value token_ids(CpuEngine& engine) {
  return engine.from_host(ids().data(), DType::kI64, Shape({kRows, kTokens}), DType::kI64);
}

// Labels at `positions` of [kRows, kTokens] only.
std::vector<int64_t> labels_at(const std::vector<int64_t>& positions) {
  std::vector<int64_t> labels(kRows * kTokens, -100);
  for (int64_t position : positions) labels[static_cast<size_t>(position)] = (position + 3) % kVocab;
  return labels;
}

// The loss of `labels` and its parts are those of the logits of every token.
void expect_loss_of_logits(const Json& config, const std::vector<int64_t>& positions) {
  SequenceModel model = model_from(config);
  CpuEngine engine;
  model.parameters().initialise(engine, 5);
  const Value tokens = token_ids(engine);
  const Value logits = model.logits(model.hidden(tokens, {}, nullptr));
  std::vector<float> all(static_cast<size_t>(kRows * kTokens * kVocab));
  engine.to_host(logits, all.data(), DType::kF32);
  const std::vector<int64_t> labels = labels_at(positions);
  const ModelLoss found = model.loss(tokens, labels, {});
  ASSERT_EQ(found.positions, positions);
  ASSERT_EQ(found.nll.size(), positions.size());
  for (size_t i = 0; i < positions.size(); ++i) {
    const float* row = all.data() + positions[i] * kVocab;
    double sum = 0;
    for (int64_t v = 0; v < kVocab; ++v) sum += std::exp(static_cast<double>(row[v]));
    EXPECT_NEAR(found.nll[i], std::log(sum) - row[labels[static_cast<size_t>(positions[i])]], 1e-5) << positions[i];
    EXPECT_EQ(found.best[i], std::max_element(row, row + kVocab) - row) << positions[i];
  }
}

Json config_with(const Json& last_mixer, bool pre_norm) {
  return {{"vocab_size", kVocab}, {"d_model", 8},     {"n_layers", 2},
          {"pre_norm", pre_norm}, {"max_tokens", 16}, {"mixers", {{{"type", "short_conv"}}, last_mixer}}};
}

class LossOfLabels : public ::testing::TestWithParam<std::tuple<std::string, bool>> {
 protected:
  Json config() const {
    const auto& [type, pre_norm] = GetParam();
    Json mixer{{"type", type}};
    if (type == "rebased" || type == "based") mixer["num_heads"] = 2, mixer["feature_dim"] = 4;
    return config_with(mixer, pre_norm);
  }
};

TEST_P(LossOfLabels, OneInEveryRow) { expect_loss_of_logits(config(), {4, 17}); }
TEST_P(LossOfLabels, AsManyInEveryRow) { expect_loss_of_logits(config(), {0, 5, 8, 9, 12, 16}); }
TEST_P(LossOfLabels, AsManyInAllButNotInEveryRow) { expect_loss_of_logits(config(), {2, 5, 8, 12}); }
TEST_P(LossOfLabels, FewerInOneRow) { expect_loss_of_logits(config(), {5, 8, 12}); }
TEST_P(LossOfLabels, NoneInOneRow) { expect_loss_of_logits(config(), {12, 13}); }
TEST_P(LossOfLabels, OfEveryToken) {
  expect_loss_of_logits(config(), {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17});
}

INSTANTIATE_TEST_SUITE_P(LastMixers, LossOfLabels,
                         ::testing::Combine(::testing::Values("rebased", "based", "attention", "short_conv"),
                                            ::testing::Bool()),
                         [](const auto& test) {
                           return std::get<0>(test.param) + (std::get<1>(test.param) ? "_pre_norm" : "_post_norm");
                         });

int64_t products_of_loss(const Json& config, const std::vector<int64_t>& positions) {
  SequenceModel model = model_from(config);
  CpuEngine engine;
  model.parameters().initialise(engine, 5);
  const Value tokens = token_ids(engine);
  const int64_t before = product_operations();
  model.loss(tokens, labels_at(positions), {});
  return product_operations() - before;
}

TEST(SequenceModel, FewLabelsTakeFewerProducts) {
  const Json config = config_with({{"type", "rebased"}, {"num_heads", 2}, {"feature_dim", 4}}, true);
  constexpr int64_t kProjection = 8 * 8, kHead = 8 * kVocab, kAll = kRows * kTokens;
  EXPECT_EQ(products_of_loss(config, {5, 8, 12}), 2 * (kAll * 4 * kProjection + 3 * kHead));  // not as many in each row
  EXPECT_EQ(products_of_loss(config, {4, 17}), 2 * ((kAll + 2) * 2 * kProjection + 2 * kHead));
}

std::vector<float> logits_of(SequenceModel& model, CpuEngine& engine, const std::vector<int64_t>& tokens, int64_t rows,
                             ModelState& state) {
  const Shape shape({rows, static_cast<int64_t>(tokens.size()) / rows});
  const Value x = engine.from_host(tokens.data(), DType::kI64, shape, DType::kI64);
  const Value logits = model.logits(model.hidden(x, {}, &state));
  const std::span<const float> view = engine.host_view(logits);
  return {view.begin(), view.end()};
}

// Two rows of which the second has seen two tokens more; then both read three: each must answer as it does alone.
TEST(SequenceModel, ReadsThePositionTableForEachRow) {
  SequenceModel model = model_from(config_with({{"type", "rebased"}, {"num_heads", 2}, {"feature_dim", 4}}, true));
  CpuEngine engine;
  model.parameters().initialise(engine, 5);
  const std::vector<int64_t> first = {1, 2, 3}, second = {4, 5, 6};
  ModelState fresh = model.initial_state(engine, 1), later = model.initial_state(engine, 1);
  logits_of(model, engine, {7, 8}, 1, later);
  ModelState both = model.initial_state(engine, 2);
  logits_of(model, engine, {7, 8, 7, 8}, 2, both);
  for (MixerState& state : both.layers) state.reset_rows(std::vector<int64_t>{0});
  std::vector<float> want = logits_of(model, engine, first, 1, fresh);
  const std::vector<float> behind = logits_of(model, engine, second, 1, later);
  want.insert(want.end(), behind.begin(), behind.end());
  const std::vector<float> got = logits_of(model, engine, {1, 2, 3, 4, 5, 6}, 2, both);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-5) << i;
}

// Positions begin again, no mixer of a hybrid sees another document, and labels read their own.
TEST(SequenceModel, TakesDocumentsInARowAsItTakesThemAlone) {
  Json config = config_with({{"type", "rebased"}, {"num_heads", 2}, {"feature_dim", 3}}, true);
  config["mixers"].push_back({{"type", "attention"}});
  config["n_layers"] = 3;
  SequenceModel model = model_from(config);
  CpuEngine engine;
  model.parameters().initialise(engine, 5);
  const Layout layout(kRows, kTokens,
                      {{.row = 0, .begin = 0, .length = 4},
                       {.row = 0, .begin = 4, .length = 3, .continues = false},
                       {.row = 1, .begin = 2, .length = 7}});
  const std::vector<int64_t> positions = {1, 3, 5, 11, 17}, labels = labels_at(positions);
  const ModelLoss packed = model.loss(token_ids(engine), labels, {.layout = &layout});
  ASSERT_EQ(packed.positions, positions);
  std::vector<float> alone;
  for (const Layout::Document& d : layout.documents()) {
    const auto begin = d.row * kTokens + d.begin;
    const std::vector<int64_t> own(labels.begin() + begin, labels.begin() + begin + d.length);
    const Value tokens = engine.from_host(ids().data() + begin, DType::kI64, Shape({1, d.length}), DType::kI64);
    const ModelLoss loss = model.loss(tokens, own, {});
    alone.insert(alone.end(), loss.nll.begin(), loss.nll.end());
  }
  ASSERT_EQ(packed.nll.size(), alone.size());
  for (size_t i = 0; i < alone.size(); ++i) EXPECT_NEAR(packed.nll[i], alone[i], 1e-5) << positions[i];
}

}  // namespace
}  // namespace rebased::testing
