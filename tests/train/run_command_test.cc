#include <algorithm>
#include <filesystem>
#include <string>

#include "io/file_lock.h"
#include "train/program_test.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kTask = R"(
[data]
task = "mqar"
options = { vocab_size = 16, seq_len = 8, pairs = 2, generator = "fast" }
train_examples = 40
test_examples = 8
[model]
d_model = 8
mixers = [{ type = "rebased", num_heads = 2, feature_dim = 4 }]
[train]
batch_size = 10
epochs = 3
stop_accuracy = 1
)";

constexpr const char* kText = R"(
[data]
text = ["corpus.txt"]
seq_len = 16
[model]
d_model = 8
mixers = [{ type = "rebased", num_heads = 2, feature_dim = 4 }]
[train]
batch_size = 4
steps = 60
checkpoint_every = 20
keep_checkpoints = 9
)";

// `rebased-train` in a folder of its own with the recipes task.toml and text.toml.
class RunCommand : public ProgramTest {
 protected:
  RunCommand() {
    write("task.toml", kTask);
    write("text.toml", kText);
    std::string text;
    for (int i = 0; i < 2000; ++i) text += std::to_string(i) + " ";
    write("corpus.txt", text);
  }

  void succeeds(const std::string& arguments) const {
    const ProgramResult result = program(arguments);
    EXPECT_EQ(result.status, 0) << arguments << "\n" << result.err;
  }
  // With `code` and one line on stderr that contains `part`.
  void refuses(const std::string& arguments, int code, const std::string& part) const {
    const ProgramResult result = program(arguments);
    EXPECT_EQ(result.status, code) << arguments;
    EXPECT_THAT(result.err, AllOf(testing::StartsWith("rebased: "), HasSubstr(part))) << arguments;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
};

TEST_F(RunCommand, AFolderThatIsRefusedIsNotTouched) {
  fs::create_directories(folder_ / "mine/thesis.tmp-2024");
  write("mine/thesis.tmp-2024/chapter1.txt", "precious");
  write("mine/a.rebased-tmp-00000001-00000002", "mine");
  refuses("train task.toml --out mine", 2, "mine is not empty and is not a run");
  EXPECT_EQ(read("mine/thesis.tmp-2024/chapter1.txt"), "precious");
  EXPECT_EQ(read("mine/a.rebased-tmp-00000001-00000002"), "mine");
  EXPECT_FALSE(exists("mine/rebased.lock"));
}

TEST_F(RunCommand, AStartThatFailsLeavesNoRun) {
  refuses("train text.toml --out r --set 'data.text=[\"typo.txt\"]'", 1, "typo.txt");
  refuses("train text.toml --set 'data.text=[\"typo.txt\"]'", 1, "typo.txt");
  refuses("sweep text.toml --out s --set 'data.text=[\"typo.txt\"]'", 1, "typo.txt");
  for (const char* name : {"r", "runs", "s"}) EXPECT_FALSE(exists(name)) << name;
}

// The first batch is drawn after the folder is made; the corrected recipe may have it.
TEST_F(RunCommand, AStartThatFailsAtItsFirstStepGivesWay) {
  EXPECT_EQ(program("train text.toml --out r --set data.seq_len=100000 --set data.validation_fraction=0.5").status, 2);
  succeeds("train text.toml --out r");
  EXPECT_EQ(program("sweep text.toml --out s --set data.seq_len=100000").status, 1);  // its table says which run failed
  succeeds("sweep text.toml --out s");
  refuses("train text.toml --out r", 2, "r already holds a run");
  refuses("sweep text.toml --out s --set seed=1", 2, "holds a run of another recipe");
}

TEST_F(RunCommand, AnEvaluationBeyondTheMemoryIsRefusedBeforeTheRunIsMade) {
  const std::string huge =
      " text.toml --set train.eval_batch=2147483647 --set model.n_layers=8 --set "
      "'model.mixers=[{type=\"rebased\",num_heads=1,feature_dim=128,head_dim=65536}]'";
  const std::string says = "corpus.txt (validation part): train.eval_batch: a pass of 56 rows of 16 tokens would take";
  for (const char* verb : {"train --out r", "sweep --out r", "validate"}) refuses(verb + huge, 2, says);
  EXPECT_FALSE(exists("r"));
}

TEST_F(RunCommand, ASweepReplacesNoReportOfAnother) {
  fs::create_directory(folder_ / "s");
  write("s/report.html", "<html>mine</html>");
  refuses("sweep task.toml --out s", 1, "s/report.html: exists and is not a report of this program");
  EXPECT_EQ(read("s/report.html"), "<html>mine</html>");
  EXPECT_FALSE(exists("s/run"));
  fs::remove(folder_ / "s/report.html");
  succeeds("sweep task.toml --out s");
  succeeds("sweep task.toml --out s");
}

TEST_F(RunCommand, AnotherProcessIsRefused) {
  succeeds("train task.toml --out r --set train.epochs=1");
  auto held = FileLock::take(folder_ / "r/rebased.lock");
  ASSERT_TRUE(held.has_value());
  refuses("train r --resume", 1, "r: another process is training in this run");
  held.reset();
  succeeds("train r --resume");
}

TEST_F(RunCommand, ResumingTakesTheRunsOwnRecipeOnly) {
  succeeds("train task.toml --out r");
  succeeds("train task.toml --out r --resume");
  succeeds("train r --out r/ --resume");
  succeeds("train r/recipe.toml --out r --resume");
  refuses("train none.toml --out r --resume", 2, "none.toml: cannot open");
  refuses("train text.toml --out r --resume", 2, "text.toml: ");
  write("more.toml", std::string(kTask) + "checkpoint_every = 2\n");
  refuses("train more.toml --out r --resume", 2,
          "more.toml: train.checkpoint_every is not as in the run's own recipe r/recipe.toml");
  fs::create_directory(folder_ / "other");
  refuses("train other --out r --resume", 2, "other and --out r are two folders");
  refuses("train task.toml --out none --resume", 2, "none is not a run");
  refuses("train r --resume --set train.epochs=9", 2, "--set cannot take effect with --resume");
}

TEST_F(RunCommand, AnIncompleteCheckpointIsWrittenAgain) {
  succeeds("train text.toml --out r");
  const std::string whole = read("r/model/model.safetensors");
  for (const std::string missing :
       {"model.safetensors", "config.json", "trainer_state.json", "optimizer.safetensors"}) {
    for (const char* later : {"r/checkpoints/step-000060", "r/model"}) fs::remove_all(folder_ / later);
    fs::remove(folder_ / ("r/checkpoints/step-000040/" + missing));
    write("r/checkpoints/step-000040/NOTES.md", "mine");
    fs::create_directory(folder_ / "r/model");  // a copy that was cut short
    write("r/model/config.json", "{}");
    succeeds("train r --resume");
    EXPECT_TRUE(exists("r/checkpoints/step-000040/" + missing)) << missing;
    EXPECT_EQ(read("r/checkpoints/step-000040/NOTES.md"), "mine");
    EXPECT_EQ(read("r/model/model.safetensors"), whole) << missing;
  }
}

TEST_F(RunCommand, ADamagedCheckpointGivesWayToTheOneBefore) {
  succeeds("train text.toml --out r");
  const std::string whole = read("r/model/model.safetensors");
  for (const std::string name : {"model.safetensors", "config.json", "trainer_state.json", "optimizer.safetensors"}) {
    const std::string file = "r/checkpoints/step-000060/" + name, bytes = read(file);
    write(file, bytes.substr(0, bytes.size() / 2));
    fs::remove_all(folder_ / "r/model");
    const ProgramResult result = program("train r --resume");
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_THAT(result.err, AllOf(HasSubstr("a checkpoint is passed over: "), HasSubstr("step-000060"),
                                  HasSubstr("going on after step 40")));
    EXPECT_EQ(read("r/model/model.safetensors"), whole) << name;
    EXPECT_EQ(program("train r --resume").status, 0);  // step 60 was written again
  }
}

TEST_F(RunCommand, TheStateOfAnotherStepIsDamage) {
  succeeds("train text.toml --out r");
  fs::remove_all(folder_ / "r/checkpoints/step-000060");
  fs::copy(folder_ / "r/checkpoints/step-000020", folder_ / "r/checkpoints/step-000060");
  EXPECT_THAT(program("train r --resume").err,
              AllOf(HasSubstr("expected the state of step 60, found step 20"), HasSubstr("going on after step 40")));
}

// With keep_checkpoints = 1, the damaged one must not be the one that is kept.
TEST_F(RunCommand, ADamagedCheckpointCrowdsOutNoGoodOne) {
  succeeds("train text.toml --out r --set train.keep_checkpoints=2");
  write("r/checkpoints/step-000060/optimizer.safetensors", "");
  std::string recipe = read("r/recipe.toml");
  recipe.replace(recipe.find("keep_checkpoints = 2"), 20, "keep_checkpoints = 1");
  recipe.replace(recipe.find("checkpoint_every = 20"), 21, "checkpoint_every = 10");
  recipe.replace(recipe.find("steps = 60"), 10, "steps = 50");
  write("r/recipe.toml", recipe);
  succeeds("train r --resume");
  EXPECT_TRUE(exists("r/checkpoints/step-000050/trainer_state.json"));
}

TEST_F(RunCommand, WithoutAnyGoodCheckpointNothingIsTrained) {
  succeeds("train text.toml --out r");
  for (const char* step : {"20", "40", "60"}) {
    write("r/checkpoints/step-0000" + std::string(step) + "/optimizer.safetensors", "");
  }
  const ProgramResult result = program("train r --resume");
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("rebased: " + std::string("r/checkpoints/step-000060/optimizer.safetensors")));
}

TEST_F(RunCommand, ChangedTextIsNoticed) {
  const std::string corpus = read("corpus.txt");
  succeeds("train text.toml --out r");
  std::string changed = corpus;
  changed[500] = 'X';  // of the same size
  write("corpus.txt", changed);
  refuses("train r --resume", 2, "r: corpus.txt has changed since the run began");
  refuses("train r --resume", 2, "remove r/data.json to go on with this one");
  write("corpus.txt", corpus);
  succeeds("train r --resume");
  write("corpus.txt", changed);
  fs::remove(folder_ / "r/data.json");
  succeeds("train r --resume");
  succeeds("train r --resume");
  write("r/data.json", "{\"files\": 3}");
  refuses("train r --resume", 1, "r/data.json: files");
  write("r/data.json", "");
  refuses("train r --resume", 1, "; remove the file to go on with the text as it is now");
}

TEST_F(RunCommand, FilesThatComeAndGoInAFolderOfTextAreNoticed) {
  fs::create_directory(folder_ / "texts");
  write("texts/b", read("corpus.txt"));
  succeeds("train text.toml --out r --set 'data.text=[\"texts\"]'");
  write("texts/a", "new");
  refuses("train r --resume", 2, "texts/a was not part of the text when the run began");
  fs::rename(folder_ / "texts/a", folder_ / "texts/c");
  refuses("train r --resume", 2, "texts/c was not part of the text when the run began");
  fs::rename(folder_ / "texts/b", folder_ / "b");
  refuses("train r --resume", 2, "texts/c was not part of the text when the run began");
  fs::remove(folder_ / "texts/c");
  fs::rename(folder_ / "b", folder_ / "texts/b");
  succeeds("train r --resume");
}

TEST_F(RunCommand, SaysWhichStepEachModelIsOf) {
  const ProgramResult result = program("train task.toml --out r");
  EXPECT_THAT(result.out, testing::ContainsRegex("model/ is of step (4|8|12), test accuracy 0\\.[0-9]+, the best\n"));
  EXPECT_THAT(result.out, testing::ContainsRegex("last/ is of step 12, test accuracy 0\\.[0-9]+"));
  EXPECT_THAT(read("r/report.html"), testing::ContainsRegex("<dt>model</dt><dd>step [0-9]+, test accuracy"));
  EXPECT_THAT(read("r/report.html"), HasSubstr("<dt>last</dt><dd>step 12, test accuracy"));
  EXPECT_THAT(program("train text.toml --out t").out, HasSubstr("last/ is of step 60, bits per byte "));
}

TEST_F(RunCommand, AFinishedRunSaysThatMoreStepsMeanNothing) {
  succeeds("train task.toml --out r");
  const std::string before = read("r/model/model.safetensors");
  std::string recipe = read("r/recipe.toml");
  recipe.replace(recipe.find("epochs = 3"), 10, "epochs = 9");
  write("r/recipe.toml", recipe);
  const ProgramResult result = program("train r --resume");
  EXPECT_EQ(result.status, 0);
  EXPECT_THAT(result.err, HasSubstr("finished after step 12: left as it is, more steps need a new run"));
  EXPECT_EQ(read("r/model/model.safetensors"), before);
}

// The first signal asks for an orderly end. (A job in the background of a shell ignores SIGINT.)
TEST_F(RunCommand, SignalsSaveAndSayHowToGoOn) {
  for (const std::string signal : {"TERM", "HUP"}) {
    const ProgramResult result =
        shell("\"$program\" train text.toml --set train.steps=1000000 --out " + signal + " & until [ -s " + signal +
              "/metrics.jsonl ]; do sleep 0.02; done; kill -" + signal + " $!; wait $!");
    EXPECT_EQ(result.status, 1) << signal << result.err;
    EXPECT_THAT(result.err, HasSubstr("go on with: rebased train " + signal + " --resume"));
  }
}

TEST_F(RunCommand, ALinkAsFolderStaysALink) {
  fs::create_directory(folder_ / "far");
  fs::create_directory_symlink("far", folder_ / "link");
  succeeds("train task.toml --out link");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_TRUE(exists("far/model/model.safetensors"));
}

}  // namespace
}  // namespace rebased
