#include "train/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "config/document.h"
#include "data/task_registry.h"
#include "train/recipe_size.h"

namespace rebased {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Recipe parse(const std::string& toml) { return recipe_from_json(parse_toml(toml, "r.toml"), "r.toml"); }

constexpr const char* kTask = "[data]\ntask = \"mqar\"\noptions = { vocab_size = 64, seq_len = 32, pairs = 4 }\n";

TEST(Recipe, TakesVocabularyAndPositionsFromTheData) {
  const Recipe recipe = parse(kTask);
  EXPECT_EQ(recipe.model.vocab_size, 64);
  EXPECT_EQ(recipe.model.max_tokens, 32);
  const Recipe text = parse("[data]\ntext = [\"x\"]\n[train]\nsteps = 5\n");
  EXPECT_EQ(text.model.vocab_size, 257);  // bytes and the end of a text
  EXPECT_EQ(text.model.max_tokens, 0);
  EXPECT_EQ(text.schedule.kind, "cosine");
}

TEST(Recipe, ResolvedRecipeIsARecipeAgain) {
  const Recipe recipe = parse(std::string(kTask) + "[model]\nmixers = [{ type = \"based\", num_heads = 2 }]\n");
  const Json resolved = options_to_json(recipe);
  const Recipe again = recipe_from_json(parse_toml(to_toml(resolved), "again.toml"), "again.toml");
  EXPECT_EQ(to_toml(options_to_json(again)), to_toml(resolved));
  EXPECT_EQ(resolved["model"]["mixers"][0]["feature_dim"], 16);  // defaults are written out
}

struct BadRecipe {
  const char* toml;
  const char* says;
};

void PrintTo(const BadRecipe& bad, std::ostream* out) { *out << bad.says; }

class RefusedRecipe : public ::testing::TestWithParam<BadRecipe> {};

TEST_P(RefusedRecipe, NamesTheField) {
  EXPECT_THAT([] { parse(GetParam().toml); }, ThrowsMessage<ConfigError>(HasSubstr(GetParam().says)));
}

INSTANTIATE_TEST_SUITE_P(
    All, RefusedRecipe,
    ::testing::Values(
        BadRecipe{"", "data needs either a task or text, found neither"},
        BadRecipe{"[data]\ntask = \"mqar\"\ntext = [\"x\"]\n", "found a task and text"},
        BadRecipe{"[data]\ntask = \"mqa\"\n", "did you mean 'mqar'"},
        BadRecipe{"[data]\ntext = [\"x\"]\n", "train.steps"},
        BadRecipe{"[data]\ntext = [\"x\"]\n[train]\nsteps = 5\n[schedule]\nkind = \"cosine_epoch\"\n", "schedule.kind"},
        BadRecipe{"[data]\ntask = \"mqar\"\n[schedule]\nkind = \"constant\"\nfinal_ratio = 0.1\n",
                  "final_ratio cannot take effect"},
        BadRecipe{"[data]\ntask = \"mqar\"\n[model]\nvocab_size = 100\n", "model.vocab_size"},
        BadRecipe{"[data]\ntask = \"mqar\"\n[model]\nmax_tokens = 8\n", "model.max_tokens"},
        BadRecipe{"[data]\ntask = \"mqar\"\n[model]\nmixers = [{ type = \"rebase\" }]\n", "did you mean 'rebased'"},
        BadRecipe{"[data]\ntask = \"mqar\"\n[model]\nmixers = [{ type = \"rebased\", num_head = 2 }]\n", "num_heads"},
        BadRecipe{"[data]\ntask = \"mqar\"\n[optimizer]\nlr = 0\n", "optimizer.lr"},
        BadRecipe{"[data]\ntask = \"mqar\"\n[optimiser]\nlr = 1\n", "did you mean 'optimizer'"}));

TEST(Recipe, TakesTheVocabularyOfTheBitTasksFromTheData) {
  for (const auto& [task, vocabulary] : {std::pair{"parity", 3},
                                         {"majority", 3},
                                         {"cumulative_parity", 2},
                                         {"cumulative_majority", 2},
                                         {"random_tokens", 16384},
                                         {"haystack", 8192}}) {
    const Recipe recipe = parse(fmt::format("[data]\ntask = \"{}\"\n", task));
    EXPECT_EQ(recipe.model.vocab_size, vocabulary) << task;
    EXPECT_EQ(generate_task(task, recipe.data.options, 1, 1).vocab_size, vocabulary) << task;
  }
}

TEST(Recipe, TakesVocabularyAndPositionsFromEitherSplit) {
  const Recipe recipe = parse(std::string(kTask) + "test_options = { vocab_size = 96, seq_len = 48 }\n");
  EXPECT_EQ(recipe.model.vocab_size, 96);
  EXPECT_EQ(recipe.model.max_tokens, 48);
  EXPECT_THAT([] { parse(std::string(kTask) + "test_options = { seq_len = 48 }\n[model]\nmax_tokens = 32\n"); },
              ThrowsMessage<ConfigError>(HasSubstr("model.max_tokens: expected at least the data's 48 tokens")));
}

// Sizes that are each within their bounds and together more than anything holds.
TEST(Recipe, RefusesSizesThatTogetherAreTooMuch) {
  const auto refused = [](const std::string& rest, const char* says) {
    EXPECT_THAT([&] { parse(kTask + rest); }, ThrowsMessage<ConfigError>(HasSubstr(says))) << rest;
  };
  refused("[train]\nepochs = 1000000000\nbatch_size = 1\n", "train.epochs: 1000000000 of 100000 steps are more than");
  refused("[train]\nbatch_size = 200000\ndrop_last = true\n", "train.drop_last leaves no batch of 200000 rows");
  refused("[model]\nmax_tokens = 2147483647\nd_model = 1048576\n", "parameters would take");
  refused("[model]\nvocab_size = 2147483647\nd_model = 65536\n", "parameters would take");
  refused("[model]\nn_layers = 65536\nd_model = 1048576\n", "parameters would take");
  refused("[model]\nn_layers = 100000000\n", "model.n_layers: expected a number 1 to 65536, found 100000000");
  refused("[model]\nmixers = [{ type = \"attention\", num_heads = 1048576, head_dim = 1048576 }]\n", "all heads");
  refused("[model]\nmixers = [{ type = \"based\", num_heads = 1048576, head_dim = 64 }]\n", "1048576 heads");
  refused("[model]\nmixers = [{ type = \"base_conv\", form = \"gated\", expand = 1048576 }]\n", "expand");
  refused(
      "[model]\nmixers = [{ type = \"linear_attention\", feature_dim = 2000, feature_map = { name = \"taylor\" } }]\n",
      "the features of taylor: expected 1 to 1048576, found 4002001");
  EXPECT_THAT(
      [] { parse("[data]\ntask = \"random_tokens\"\noptions = { seq_len = 1048576 }\ntest_examples = 2147483647\n"); },
      ThrowsMessage<ConfigError>(HasSubstr("2147483647 test examples of 1048576 and 1048576 tokens would take")));
  EXPECT_THAT(
      [] { parse("[data]\ntext = [\"x\"]\nseq_len = 2147483647\n[train]\nsteps = 5\nbatch_size = 2147483647\n"); },
      ThrowsMessage<ConfigError>(HasSubstr("train.batch_size: 2147483647 rows of 2147483647 tokens would take")));
}

// How many windows a text has is known once it is opened.
TEST(Recipe, JudgesAnEvaluationPassOverTextByItsWindowsAndTheirStates) {
  const std::string text =
      "[data]\ntext = [\"x\"]\nseq_len = 1048576\n[train]\nsteps = 5\nbatch_size = 1\n"
      "eval_batch = 2147483647\n[model]\nd_model = 1024\n";
  const Recipe recipe = parse(text + "mixers = [{ type = \"identity\" }]\n");
  EXPECT_NO_THROW(check_evaluation_size(recipe, 0, "r.toml"));
  EXPECT_NO_THROW(check_evaluation_size(recipe, 1, "r.toml"));
  EXPECT_THAT([&] { check_evaluation_size(recipe, 2147483647, "r.toml"); },
              ThrowsMessage<ConfigError>(
                  HasSubstr("r.toml: train.eval_batch: a pass of 2147483647 rows of 1048576 tokens would take 9223")));
  const Recipe states = parse(
      "[data]\ntext = [\"x\"]\nseq_len = 1\n[train]\nsteps = 5\n[model]\nd_model = 1\nn_layers = 8\n"
      "mixers = [{ type = \"rebased\", num_heads = 1, feature_dim = 128, head_dim = 65536 }]\n");
  EXPECT_THAT([&] { check_evaluation_size(states, 9999, "r.toml"); },
              ThrowsMessage<ConfigError>(HasSubstr("a pass of 128 rows of 1 tokens would take 2216.")));
}

TEST(Recipe, RefusesSizesThatAreRoundedToNothing) {
  const auto refused = [](const std::string& rest, const char* says) {
    EXPECT_THAT([&] { parse(kTask + rest); }, ThrowsMessage<ConfigError>(HasSubstr(says))) << rest;
  };
  for (const std::string type : {"mlp", "glu", "swiglu"}) {
    refused("[model]\nstate_mixers = [{ type = \"" + type + "\", ratio = 0.01 }]\n",
            "ratio 0.01 of 64 channels: expected 1 to 1048576, found 0");
  }
  refused("[model]\nmixers = [{ type = \"attention\", num_heads = 65 }]\n", "nothing for each of 65 heads");
  refused("[model]\nmixers = [{ type = \"rebased\", num_heads = 65 }]\n", "nothing for each of 65 heads");
  refused("[model]\nmixers = [{ type = \"attention\", rope_fraction = 0.005 }]\n", "leaves none to rotate");
}

// How the sizes of a task fit together is known when the recipe is read.
TEST(Recipe, RefusesOptionsOfATaskThatContradictEachOther) {
  EXPECT_THAT([] { parse("[data]\ntask = \"mqar\"\noptions = { pairs = 40 }\n"); },
              ThrowsMessage<ConfigError>(HasSubstr("pairs")));
  EXPECT_THAT([] { parse("[data]\ntask = \"mqar\"\ntest_options = { seq_len = 8 }\n"); },
              ThrowsMessage<ConfigError>(HasSubstr("pairs")));
}

}  // namespace
}  // namespace rebased
