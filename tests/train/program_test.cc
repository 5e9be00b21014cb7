#include "train/program_test.h"

#include <csignal>

namespace rebased {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr const char* kRecipe =
    "[data]\ntask = \"mqar\"\ntrain_examples = 20\ntest_examples = 5\n"
    "options = { vocab_size = 16, seq_len = 8, pairs = 2, generator = \"fast\" }\n"
    "[model]\nd_model = 8\nmixers = [{ type = \"rebased\", num_heads = 2 }]\n"
    "[train]\nbatch_size = 10\nepochs = 1\n";

// rebased-train as a shell runs it, beside a recipe.toml.
class TrainProgram : public ProgramTest {
 protected:
  void SetUp() override { write("recipe.toml", kRecipe); }
};

TEST_F(TrainProgram, WhatIsWrongWithTheCommandLineIsOneLine) {
  for (const char* typed : {"", "train", "train recipe.toml --unknown"}) {
    const ProgramResult result = shell("train " + std::string(typed));
    EXPECT_EQ(result.status, 2) << typed;
    EXPECT_EQ(result.out, "") << typed;
    EXPECT_THAT(result.err, MatchesRegex("rebased: [^\n]+; see rebased-train[a-z ]* --help\n")) << typed;
  }
  const ProgramResult count = shell("train validate recipe.toml --steps many");
  EXPECT_EQ(count.status, 2);
  EXPECT_EQ(count.err, "rebased: --steps: expected an integer, found 'many'\n");
  EXPECT_THAT(shell("train train --help").out, HasSubstr("RECIPE"));
  EXPECT_EQ(shell("train train --help >/dev/full").status, 1);
}

TEST_F(TrainProgram, ResultsThatCannotBeWrittenAreAnError) {
  for (const char* redirection : {">&-", ">/dev/full"}) {
    for (const char* typed : {"validate recipe.toml --steps 1", "train recipe.toml --out run"}) {
      const ProgramResult result = shell("rm -rf run; train " + std::string(typed) + " " + redirection);
      EXPECT_EQ(result.status, 1) << typed;
      EXPECT_THAT(result.err, HasSubstr("rebased: standard output: cannot write: ")) << typed;
    }
  }
}

TEST_F(TrainProgram, AClosedStderrSpoilsNothing) {
  ASSERT_EQ(shell("train train recipe.toml --out open").status, 0);
  ASSERT_EQ(shell("train train recipe.toml --out closed 0>&- 1>/dev/null 2>&-").status, 0);
  EXPECT_EQ(read_file(folder_ / "open/model/model.safetensors"), read_file(folder_ / "closed/model/model.safetensors"));
}

TEST_F(TrainProgram, AFileBeyondItsLimitIsAnErrorThatLeavesNothingHalfWritten) {
  const ProgramResult result = shell("ulimit -f 4; train train recipe.toml --out run");
  EXPECT_EQ(result.status, 1) << result.err;
  EXPECT_THAT(result.err, HasSubstr("File too large"));
  EXPECT_EQ(shell("find run -name '*tmp*'").out, "");
}

TEST_F(TrainProgram, ARecipeIsAFileOrAPipeWithAWriter) {
  EXPECT_EQ(shell("train validate <(cat recipe.toml) --steps 1 --json").status, 0);
  EXPECT_THAT(shell("mkfifo pipe; train validate pipe").err, HasSubstr("pipe: nothing came out of this pipe"));
  const ProgramResult text = shell(
      "train train recipe.toml --set data.task= --set data.options={} --set 'data.text=[\"pipe\"]' --set "
      "train.steps=1");
  EXPECT_NE(text.status, 0);
  EXPECT_THAT(text.err, HasSubstr("pipe: expected a file, found a pipe"));
}

// Whatever is wrong with the recipe, whoever reads it: the code of usage, and one line that names it.
TEST_F(TrainProgram, ARecipeThatIsNoneIsAUsageErrorOfEveryVerb) {
  shell("mkdir folder; mkfifo pipe; echo 'lr = ' > bad.toml; echo 'x = 1' > unknown.toml; ln -s none dangling.toml");
  write("device.toml", "device = \"abc\"\n" + std::string(kRecipe));
  for (const std::string verb : {"train", "train --out new", "sweep --out swept", "validate", "bench"}) {
    for (const std::string recipe : {"none.toml", "folder", "recipe.toml/below", "dangling.toml", "/dev/null/x", "pipe",
                                     "/dev/zero", "bad.toml", "unknown.toml", "device.toml"}) {
      const ProgramResult result = program(verb + " " + recipe);
      EXPECT_EQ(result.status, 2) << verb << " " << recipe << ": " << result.err;
      EXPECT_EQ(result.out, "");
      EXPECT_THAT(result.err, MatchesRegex("rebased: " + recipe + "[: ][^\n]+\n")) << verb;
      for (const char* made : {"new", "swept", "runs"}) EXPECT_FALSE(exists(made)) << verb << " " << recipe;
    }
  }
}

TEST_F(TrainProgram, WhatIsNoRunOrNotItsRecipeIsAUsageErrorOfResuming) {
  ASSERT_EQ(program("train recipe.toml --out run").status, 0);
  shell("mkdir folder; cp -r run broken; echo 'lr = ' > broken/recipe.toml");
  for (const std::string typed :
       {"none", "folder", "recipe.toml", "broken", "none.toml --out run", "folder --out run"}) {
    const ProgramResult result = program("train --resume " + typed);
    EXPECT_EQ(result.status, 2) << typed << ": " << result.err;
    EXPECT_THAT(result.err, MatchesRegex("rebased: " + typed.substr(0, typed.find(' ')) + "[:/ ][^\n]+\n"));
  }
}

TEST_F(TrainProgram, TextThatIsNotUtf8IsRefusedBeforeAnythingIsMade) {
  const ProgramResult result = shell("train train recipe.toml --out run --set $'name=\\xff'");
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.err, "rebased: recipe.toml: name: expected UTF-8 text, found '\xff'\n");
  EXPECT_EQ(folder_.names(), std::vector<std::string>{"recipe.toml"});
}

}  // namespace
}  // namespace rebased
