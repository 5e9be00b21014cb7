#include "train/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "config/document.h"

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
        BadRecipe{"[data]\ntask = \"mqar\"\ntext = [\"x\"]\n", "found both"},
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

}  // namespace
}  // namespace rebased
