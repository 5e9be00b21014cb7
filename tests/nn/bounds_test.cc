#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"
#include "config/limits.h"
#include "cores/linear_attention/linear_attention.h"
#include "cores/norm/norm.h"
#include "cores/quadratic_attention/quadratic_attention.h"
#include "cores/short_conv/short_conv.h"
#include "cores/softmax/softmax.h"
#include "cores/softmax_attention/softmax_attention.h"
#include "engine/cpu/cpu_engine.h"
#include "engine/vocabulary.h"
#include "nn/model_size.h"
#include "nn/models.h"

namespace rebased::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StrEq;
using ::testing::ThrowsMessage;

TEST(ModelSize, IsThatOfTheDeclaredModel) {
  const Json mixers =
      Json::array({Json{{"type", "base_conv"}, {"filter", "implicit"}}, Json{{"type", "rebased"}, {"num_heads", 2}},
                   Json{{"type", "linear_attention"}, {"feature_map", {{"name", "performer"}}}}});
  const Json state_mixers = Json::array({Json{{"type", "mlp"}}, Json{{"type", "swiglu"}}});
  for (const int64_t n_layers : {1, 2, 5, 6, 7, 40}) {
    const ModelConfig config = config_from({{"d_model", 16},
                                            {"vocab_size", 11},
                                            {"n_layers", n_layers},
                                            {"max_tokens", 9},
                                            {"tie_embeddings", n_layers % 2 == 0},
                                            {"mixers", mixers},
                                            {"state_mixers", state_mixers}});
    int64_t numbers = 0;
    const SequenceModel model(config);
    for (const Param& param : model.parameters().params()) numbers += param.spec.shape.numel();
    EXPECT_EQ(parameter_count(config, "f"), static_cast<double>(numbers)) << n_layers;
  }
}

// Quadratic, this would take hours.
TEST(ModelSize, AsManyLayersAsThereMayBeAreDeclaredInLinearTime) {
  const SequenceModel model = model_from(
      {{"d_model", 1}, {"vocab_size", 2}, {"n_layers", 65536}, {"mixers", Json::array({Json{{"type", "identity"}}})}});
  EXPECT_EQ(model.blocks().size(), 65536u);
  EXPECT_EQ(model.parameters().params().size(), 4u * 65536u + 3u);
}

TEST(ModelSize, NoMoreWeightsThanCanBeAddressed) {
  EXPECT_THAT(
      [] {
        config_from({{"vocab_size", 2147483647}, {"d_model", 1048576}});
      },
      ThrowsMessage<ConfigError>(HasSubstr("parameters would take")));
}

TEST(Memory, NamesWhatIsTooMuch) {
  EXPECT_NO_THROW(check_memory(2e9, "three rows", 2'000'000'000));
  EXPECT_THAT(
      [] { check_memory(3.5e12, "three rows", 2'000'000'000); },
      ThrowsMessage<ConfigError>(StrEq("three rows would take 3500.0 GB, more than the 2.0 GB that there are")));
  EXPECT_GT(machine_memory(), 1 << 20);
}

// The outputs of 9 tokens in pieces of one length, and the bytes of the state at their end.
std::pair<std::vector<float>, int64_t> run_window(int64_t window, int64_t piece) {
  const Json mixer{{"type", "sliding_window"}, {"window", window}, {"num_heads", 2}, {"rope_fraction", 1.0}};
  CpuEngine engine;
  SequenceModel model = model_from(
      {{"vocab_size", 10}, {"d_model", 8}, {"n_layers", 1}, {"init_std", 0.5}, {"mixers", Json::array({mixer})}});
  model.parameters().initialise(engine, 1);
  ModelState state = model.initial_state(engine, 1);
  const std::vector<int64_t> tokens = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  std::vector<float> all;
  for (int64_t begin = 0; begin < 9; begin += piece) {
    const Value ids =
        engine.from_host(&tokens[static_cast<size_t>(begin)], DType::kI64, Shape({1, piece}), DType::kI64);
    const Value y = model.hidden(ids, {}, &state);
    std::vector<float> part(static_cast<size_t>(y.shape().numel()));
    engine.to_host(y, part.data(), DType::kF32);
    all.insert(all.end(), part.begin(), part.end());
    EXPECT_EQ(state.bytes(), model.state_bytes(1, begin + piece)) << window << " " << begin;
  }
  return {all, state.bytes()};
}

TEST(SlidingWindow, CostsWhatTheRowsNeed) {
  const auto [all_keys, all_bytes] = run_window(9, 9);
  for (const int64_t window : {int64_t{1}, int64_t{3}, int64_t{9}, int64_t{10}, kMostTokens}) {
    const auto [whole, bytes] = run_window(window, 9);
    EXPECT_EQ(bytes, std::min<int64_t>(window - 1, 9) * (2 * 8 * 4 + 8)) << window;
    if (window >= 9) {
      EXPECT_EQ(whole, all_keys) << window;
    }
    for (const int64_t piece : {1, 3}) {
      const auto [pieces, bytes_of_pieces] = run_window(window, piece);
      EXPECT_EQ(bytes_of_pieces, bytes);
      for (size_t i = 0; i < whole.size(); ++i) EXPECT_NEAR(pieces[i], whole[i], 1e-5) << window << " " << i;
    }
  }
}

// What is summed over cannot be empty: a product of nothing would be whatever lay in memory.
TEST(EmptySums, AreRefused) {
  CpuEngine engine;
  const auto zeros = [&](const Shape& shape) { return engine.full(shape, DType::kF32, 0); };
  const auto refused = [](const auto& act, const char* says) {
    EXPECT_THAT(act, ThrowsMessage<ShapeError>(HasSubstr(says)));
  };
  const Value none = zeros(Shape({3, 0})), bias = zeros(Shape({4}));
  refused([&] { linear(none, zeros(Shape({4, 0})), bias); }, "[linear] I: expected at least 1, found 0");
  refused([&] { softmax(none); }, "[softmax]");
  refused([&] { sum_last(none); }, "[sum_last]");
  refused([&] { layer_norm(none, {}, {}, 1); }, "[layer_norm]");
  refused([&] { rms_norm(none, {}, 1); }, "[rms_norm]");
  refused([&] { add_layer_norm(none, none, {}, {}, 1); }, "[add_layer_norm]");
  const std::vector<int64_t> labels = {0, 1, 2};
  refused([&] { cross_entropy(none, zeros(Shape({4, 0})), labels); }, "[cross_entropy] C");
  refused([&] { short_conv(zeros(Shape({1, 2, 3})), zeros(Shape({3, 0})), {}, false, nullptr); }, "[short_conv] K");
  const Value thin = zeros(Shape({1, 2, 1, 0})), v = zeros(Shape({1, 2, 1, 4}));
  refused([&] { quadratic_attention(thin, thin, v, {.kernel = {.a = 1, .b = 1, .c = 0.5}}, nullptr); }, "Dk");
  refused([&] { linear_attention(thin, thin, v, {}, nullptr); }, "[linear_attention] F");
  refused([&] { softmax_attention(thin, thin, v, {}); }, "[softmax_attention] Dk");
}

}  // namespace
}  // namespace rebased::testing
