#include <gtest/gtest.h>

#include "nn/models.h"

namespace rebased::testing {
namespace {

// MQAR models of arXiv:2402.10644 appendix, Table 6: two layers, tied embeddings, V = 8192. Every column was counted
// with a position table of its own length.
int64_t mqar_count(int64_t d_model, int64_t positions, const Json& mixers) {
  return model_from({{"vocab_size", 8192},
                     {"d_model", d_model},
                     {"n_layers", 2},
                     {"max_tokens", positions},
                     {"mixers", mixers}})
      .parameters()
      .trainable_count();
}

const Json kConv{{"type", "base_conv"}}, kAttention{{"type", "attention"}}, kBased{{"type", "based"}},
    kRebased{{"type", "rebased"}};

struct Counts {
  int64_t d_model;
  int64_t attention;       // 1024 positions
  int64_t conv_attention;  // 512 positions, 128 from D = 128 on
  int64_t based;           // 256 positions; ReBased has 768 more
};

TEST(ParameterCount, OfTheMqarModelsIsTheTables) {
  const Counts table[] = {{64, 623744, 578752, 577984},
                          {128, 1313024, 1149312, 1179520},
                          {256, 2888192, 2462464, 2459392},
                          {512, 6824960, 5580288, 5307904}};
  for (const Counts& row : table) {
    EXPECT_EQ(mqar_count(row.d_model, 1024, Json::array({kAttention})), row.attention) << row.d_model;
    EXPECT_EQ(mqar_count(row.d_model, row.d_model == 64 ? 512 : 128, Json::array({kConv, kAttention})),
              row.conv_attention)
        << row.d_model;
    EXPECT_EQ(mqar_count(row.d_model, 256, Json::array({kConv, kBased})), row.based) << row.d_model;
    EXPECT_EQ(mqar_count(row.d_model, 256, Json::array({kConv, kRebased})), row.based + 768) << row.d_model;
  }
}

// The Pile models of the same paper, Table 8: RMSNorm, SwiGLU, no positions, a vocabulary of 50,280.
int64_t pile_count(int64_t layers, const Json& mixers, int64_t hidden) {
  return model_from({{"vocab_size", 50280},
                     {"d_model", 768},
                     {"n_layers", layers},
                     {"norm", "rms"},
                     {"mixers", mixers},
                     {"state_mixers", Json::array({Json{{"type", "swiglu"}, {"hidden", hidden}}})}})
      .parameters()
      .trainable_count();
}

TEST(ParameterCount, OfThePileModelsIsTheTables) {
  const Json attention{{"type", "attention"}, {"num_heads", 12}, {"qkv_bias", false}, {"out_bias", false}};
  const Json conv{{"type", "base_conv"}, {"form", "gated"}};
  EXPECT_EQ(pile_count(12, Json::array({attention}), 4 * 768), 151880448);
  EXPECT_EQ(pile_count(18, Json::array({conv, kBased}), 2 * 768), 147542016);
  EXPECT_EQ(pile_count(18, Json::array({conv, kRebased}), 2 * 768), 147548928);
}

// Widths that the paper's own table implies: floor(D / 12) channels a value head.
TEST(ParameterCount, OfAnUntiedHeadAddsATable) {
  const Json tied{{"vocab_size", 100}, {"d_model", 24}};
  Json untied = tied;
  untied["tie_embeddings"] = false;
  EXPECT_EQ(model_from(untied).parameters().trainable_count() - model_from(tied).parameters().trainable_count(),
            100 * 24);
}

TEST(ParameterCount, OfStateMixers) {
  auto with = [](const Json& state_mixer) {
    const Json identity{{"type", "identity"}};
    const Json config{{"vocab_size", 10},
                      {"d_model", 8},
                      {"n_layers", 1},
                      {"mixers", Json::array({identity})},
                      {"state_mixers", Json::array({state_mixer})}};
    return model_from(config).parameters().trainable_count();
  };
  const int64_t bare = with({{"type", "identity"}});
  EXPECT_EQ(with({{"type", "mlp"}, {"ratio", 2}}) - bare, 8 * 16 + 16 + 16 * 8 + 8);
  EXPECT_EQ(with({{"type", "glu"}, {"hidden", 12}}) - bare, 2 * (8 * 12 + 12) + 12 * 8 + 8);
  EXPECT_EQ(with({{"type", "swiglu"}, {"multiple_of", 4}}) - bare,
            3 * 8 * 24);  // int(2/3 * 4 * 8) = 21, rounded up to 24
}

}  // namespace
}  // namespace rebased::testing
