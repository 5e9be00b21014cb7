#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/cpu/cpu_engine.h"
#include "nn/mixers/registry.h"
#include "nn/models.h"

namespace rebased::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string refusal(const Json& json) {
  try {
    model_from(json);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

Json with_mixer(const Json& mixer) { return {{"d_model", 32}, {"mixers", Json::array({mixer})}}; }

TEST(ModelConfig, NamesAnUnknownMixerAndTheOneThatWasMeant) {
  EXPECT_THAT(refusal(with_mixer({{"type", "rebasd"}})),
              AllOf(HasSubstr("model.json.mixers.0"), HasSubstr("'rebasd'"), HasSubstr("did you mean 'rebased'")));
}

TEST(ModelConfig, NamesAnUnknownKeyAndTheOneThatWasMeant) {
  EXPECT_THAT(refusal({{"d_modle", 32}}), AllOf(HasSubstr("d_modle"), HasSubstr("d_model")));
  EXPECT_THAT(refusal(with_mixer({{"type", "rebased"}, {"use_gama", true}})),
              AllOf(HasSubstr("use_gama"), HasSubstr("use_gamma")));
}

TEST(ModelConfig, NeedsMixers) {
  EXPECT_THAT(refusal({{"mixers", Json::array()}}), HasSubstr("mixers"));
  EXPECT_THAT(refusal({{"state_mixers", Json::array()}}), HasSubstr("state_mixers"));
  EXPECT_THAT(refusal({{"mixers", Json::array({Json{{"kernel", 3}}})}}),
              AllOf(HasSubstr("mixers.0"), HasSubstr("type")));
  EXPECT_THAT(refusal({{"mixers", Json::array({Json("rebased")})}}), HasSubstr("mixers.0"));
}

TEST(ModelConfig, RefusesValuesOutOfRange) {
  EXPECT_THAT(refusal({{"vocab_size", 0}}), HasSubstr("vocab_size"));
  EXPECT_THAT(refusal({{"norm", "batch"}}), HasSubstr("norm"));
  for (const char* type : {"rebased", "based"}) {
    EXPECT_THAT(refusal(with_mixer({{"type", type}, {"feature_dim", 129}})),
                HasSubstr("feature_dim: expected a number 1 to 128, found 129"));
  }
}

TEST(ModelConfig, RefusesMixersThatCannotBe) {
  EXPECT_THAT(refusal(with_mixer({{"type", "rebased"}, {"num_heads", 64}})),
              AllOf(HasSubstr("layers.0.mixer"), HasSubstr("64 heads")));
  EXPECT_THAT(refusal(with_mixer({{"type", "attention"}, {"num_heads", 6}, {"num_kv_heads", 4}})),
              HasSubstr("num_kv_heads"));
  EXPECT_THAT(refusal(with_mixer({{"type", "attention"}, {"num_heads", 2}, {"head_dim", 6}, {"rope_fraction", 0.5}})),
              HasSubstr("rope_fraction"));
  EXPECT_THAT(refusal(with_mixer({{"type", "based"}, {"feature_dim", 5}, {"rope_base", 10000.0}})),
              HasSubstr("feature_dim"));
  EXPECT_THAT(refusal(with_mixer({{"type", "base_conv"}, {"filter", "long"}})), HasSubstr("max_tokens"));
  EXPECT_THAT(refusal(with_mixer({{"type", "base_conv"}, {"form", "gated"}, {"expand", 3}})), HasSubstr("expand"));
  EXPECT_THAT(refusal(with_mixer({{"type", "base_conv"}, {"form", "gated"}, {"filter", "implicit"}})),
              HasSubstr("filter"));
}

TEST(ModelConfig, RefusesOptionsThatCannotTakeEffect) {
  EXPECT_THAT(refusal(with_mixer({{"type", "base_conv"}, {"form", "gated"}, {"use_act", true}})), HasSubstr("use_act"));
  EXPECT_THAT(refusal(with_mixer({{"type", "base_conv"}, {"expand", 2}})), HasSubstr("expand"));
  EXPECT_THAT(refusal(with_mixer({{"type", "base_conv"}, {"max_tokens", 8}})), HasSubstr("max_tokens"));
  EXPECT_THAT(refusal(with_mixer({{"type", "base_conv"}, {"filter", "long"}, {"max_tokens", 8}, {"kernel", 4}})),
              HasSubstr("kernel"));
  EXPECT_THAT(refusal(with_mixer({{"type", "base_conv"}, {"filter_hidden", 8}})), HasSubstr("filter_hidden"));
  const auto map = [](const Json& feature_map) {
    return with_mixer({{"type", "linear_attention"}, {"feature_map", feature_map}});
  };
  EXPECT_THAT(refusal(map({{"name", "elu"}, {"floor", 0.5}})), HasSubstr("floor"));
  EXPECT_THAT(refusal(map({{"name", "square"}, {"temperature", 2.0}})), HasSubstr("temperature"));
  EXPECT_THAT(refusal(map({{"name", "elu"}, {"size", 3}})), HasSubstr("size"));
  EXPECT_THAT(refusal(map({{"name", "elu"}, {"nu", 3}})), HasSubstr("nu"));
  EXPECT_THAT(refusal(map({{"name", "elu"}, {"tie", false}})), HasSubstr("tie"));
  EXPECT_THAT(refusal(map({{"name", "hadamard"}, {"bias", true}})), HasSubstr("bias"));
}

// Saved configs name every option: what one lacks came later, and its tensors say what held before.
TEST(ModelConfig, TakesOptionsThatCameLaterFromTheTensors) {
  const Json implicit{{"type", "base_conv"}, {"filter", "implicit"}};
  Json given = implicit;
  given["filter_hidden"] = 5;
  Json document{
      {"mixers", Json::array({Json{{"type", "rebased"}}, implicit, given, implicit, Json{{"type", "base_conv"}}})}};
  complete_saved_config(document, [](const std::string& name) -> std::optional<Shape> {
    if (name == "layers.1.mixer.conv.mlp.0.bias" || name == "layers.2.mixer.conv.mlp.0.bias") return Shape({12});
    return std::nullopt;
  });
  EXPECT_EQ(document["mixers"][0], Json({{"type", "rebased"}}));
  EXPECT_EQ(document["mixers"][1]["filter_hidden"], 12);
  EXPECT_EQ(document["mixers"][2], given);
  EXPECT_EQ(document["mixers"][3], implicit);  // no such tensor: the default
  EXPECT_EQ(document["mixers"][4], Json({{"type", "base_conv"}}));
}

TEST(ModelConfig, LeavesWhatIsNoConfigToTheReader) {
  for (const char* text : {"null", "[]", "{}", R"({"mixers": 3})", R"({"mixers": [3, {"type": 5}, {"kernel": 3}]})",
                           R"({"mixers": [{"type": "rebasd"}, {"type": "base_conv", "filter": 7}]})"}) {
    Json document = Json::parse(text);
    complete_saved_config(document, [](const std::string&) { return Shape({2}); });
    EXPECT_EQ(document, Json::parse(text));
  }
}

TEST(ModelConfig, ItsLastNormMayHaveAnEpsOfItsOwn) {
  const auto shifted = [](const Json& changes) {
    Json json{
        {"d_model", 6}, {"vocab_size", 5}, {"n_layers", 1}, {"mixers", Json::array({Json{{"type", "identity"}}})}};
    json.update(changes);
    SequenceModel model = model_from(json);
    CpuEngine cpu;
    model.parameters().initialise(cpu, 1);
    const std::vector<float> hidden = {1, 2, 3, 4, 5, 6};
    const Value logits = model.logits(cpu.from_host(hidden.data(), DType::kF32, Shape({1, 1, 6}), DType::kF32));
    float first = 0;
    cpu.to_host(slice(logits, 2, 0, 1), &first, DType::kF32);
    return first;
  };
  const float variance = 35.0f / 12;  // of 1 .. 6
  EXPECT_EQ(shifted({{"norm_eps", 1e-2}}), shifted({{"norm_eps", 1e-2}, {"final_norm_eps", 1e-2}}));
  EXPECT_NEAR(shifted({{"norm_eps", 0.5}, {"final_norm_eps", 3 * variance}}) / shifted({{"norm_eps", 0}}), 0.5, 1e-6);
}

TEST(ModelConfig, FillsInEveryOptionAndIsAcceptedBack) {
  const ModelConfig config = config_from({{"mixers", Json::array({Json{{"type", "rebased"}, {"num_heads", 2}}})}});
  EXPECT_EQ(config.mixers[0]["type"], "rebased");
  EXPECT_EQ(config.mixers[0]["num_heads"], 2);
  EXPECT_EQ(config.mixers[0]["eps"], 1e-12);
  const Json written = options_to_json(config);
  EXPECT_EQ(options_to_json(config_from(written)), written);
}

TEST(ModelConfig, RepeatsItsLists) {
  const SequenceModel model = model_from({{"d_model", 24}, {"n_layers", 5}, {"vocab_size", 8}});
  for (const auto& param : model.parameters().params()) {
    const std::string& name = param.spec.name;
    if (!name.starts_with("layers.")) continue;
    const int layer = name[7] - '0';
    if (name.ends_with("mixer.projection.weight")) {
      EXPECT_EQ(layer % 2, 0) << name;
    } else if (name.ends_with("mixer.proj_q.weight")) {
      EXPECT_EQ(layer % 2, 1) << name;
    }
  }
}

TEST(Registry, DescribesEveryMixerAndOption) {
  for (const MixerEntry& entry : mixer_registry()) {
    EXPECT_FALSE(entry.summary.empty()) << entry.name;
    for (const OptionHelp& row : entry.help()) EXPECT_FALSE(row.help.empty()) << entry.name << "." << row.name;
    Json defaults = entry.resolve(Json::object(), entry.name);
    if (defaults.contains("mixer")) defaults["mixer"] = defaults["mixer"]["type"];  // one option, whatever is inside
    EXPECT_EQ(entry.help().size(), defaults.empty() ? 0 : defaults.flatten().size()) << entry.name;
  }
  for (const OptionHelp& row : options_help<ModelConfig>()) EXPECT_FALSE(row.help.empty()) << row.name;
}

}  // namespace
}  // namespace rebased::testing
