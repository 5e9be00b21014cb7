#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "golden/handlers.h"

namespace rebased::testing {
namespace {

struct Handler {
  const char* function;  // part of the golden's `function`; the first that fits is taken
  void (*check)(const Golden&);
};

constexpr Handler kHandlers[] = {
    {"rebased_fast/parallel.py: parallel_rebased", check_rebased_op},
    {"based/parallel.py: parallel_based", check_based_op},
    {"causal_linear_attention.py: CausalLinearAttention (elu feature map)", check_elu_op},
    {"linear_attn/naive.py: naive_recurrent_linear_attn", check_carried_state_op},
    {"retention/naive.py: naive_retention", check_retention_op},
    {"gla/naive.py: naive_recurrent_gla", check_gla_op},
    {"simple_gla/naive.py: naive_recurrent_simple_gla", check_simple_gla_op},
    {"rwkv6/recurrent_naive.py: naive_recurrent_rwkv6", check_rwkv6_op},
    {"attention.py: SelfAttention (causal", check_softmax_op},
    {"convolution.py: ShortConvolution", check_short_conv_op},
    {"feature_map.py: RebasedFeatureMap", check_rebased_feature_map},
    {"src/mixers/rebased.py: ReBased", check_rebased_module},
    {"layers/rebased.py: ReBasedLinearAttention", check_fla_rebased_module},
    {"src/mixers/based.py: Based", check_based_module},
    {"zoology/mixers/based.py: Based", check_zoology_based_module},
    {"layers/linear_attn.py: LinearAttention", check_fla_linear_attention_module},
    {"MultiScaleRetention without its score normalisers", check_retnet_module},
    {"multiscale_retention.py: MultiScaleRetention (parallel form)", check_torchscale_retnet_module},
    {"base_conv.py: BaseConv", check_base_conv_module},
    {"models/mixers/convolution.py: BaseConv", check_gated_conv_module},
    {"slide_attn.py: SlidingAttn", check_sliding_module},
    {"layers/attn.py: Attention", check_fla_attention_module},
    {"attention.py: MHA", check_attention_module},
    {"mlp.py: MLP", check_mlp_module},
    {"mlp.py: GLU", check_glu_module},
    {"mlp.py: GatedMlp", check_swiglu_module},
    {"torch.optim.AdamW", check_training_run},
    {"src/model.py: LanguageModel", check_language_model},
    {"multiquery_ar_in_haystack", check_haystack_data},
    {"multiquery_ar", check_mqar_data},
};

class GoldenTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenTest, IsReproduced) {
  const Golden golden(GetParam());
  const auto handler = std::find_if(std::begin(kHandlers), std::end(kHandlers), [&](const Handler& candidate) {
    return golden.function().find(candidate.function) != std::string::npos;
  });
  if (handler == std::end(kHandlers)) GTEST_SKIP() << "nothing here computes '" << golden.function() << "'";
  handler->check(golden);
}

// The file's own name, behind its folder's where two folders have a file of that name.
std::string test_name(const ::testing::TestParamInfo<std::string>& info) {
  const std::filesystem::path path = info.param;
  std::string name = path.stem().string();
  const std::vector<std::string> all = golden_paths(golden_folder_asked_for());
  const auto namesakes = std::count_if(all.begin(), all.end(),
                                       [&](const std::filesystem::path& other) { return other.stem() == path.stem(); });
  if (namesakes > 1) name = std::filesystem::relative(path, golden_folder_asked_for()).replace_extension().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenTest, ::testing::ValuesIn(golden_paths(golden_folder_asked_for())), test_name);

// The folder of this repository holds at least one golden of every kind above: a handler that nothing calls tests
// nothing.
TEST(GoldenFolder, EveryHandlerHasAFile) {
  std::vector<Golden> goldens;
  for (const std::string& path : golden_paths(golden_folder())) goldens.emplace_back(path);
  for (const Handler& handler : kHandlers) {
    EXPECT_TRUE(std::any_of(goldens.begin(), goldens.end(), [&](const Golden& golden) {
      return golden.function().find(handler.function) != std::string::npos;
    })) << handler.function;
  }
}

}  // namespace
}  // namespace rebased::testing
