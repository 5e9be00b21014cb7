#include "train/program_test.h"

namespace rebased {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kTask = R"(
name = "task"
threads = 1
[data]
task = "mqar"
options = { vocab_size = 32, seq_len = 16, pairs = 2, generator = "fast" }
train_examples = 64
test_examples = 16
[model]
d_model = 16
mixers = [{ type = "rebased", num_heads = 2, feature_dim = 4 }]
[train]
batch_size = 32
epochs = 2
)";

class Sweep : public ProgramTest {
 protected:
  void SetUp() override { write("task.toml", kTask); }
};

TEST_F(Sweep, OutlivesAPointThatDiverges) {
  const std::string command = "sweep task.toml --grid 'optimizer.lr=[0.003,1e38,0.001]' --out s";
  const ProgramResult first = program(command);
  EXPECT_EQ(first.status, 1);
  EXPECT_THAT(first.out, AllOf(HasSubstr("task-lr-0.001"), HasSubstr("failed"), HasSubstr("first not finite: "),
                               HasSubstr("report: s/report.html")));
  EXPECT_THAT(first.err, HasSubstr("task-lr-1e+38 failed: "));
  EXPECT_TRUE(exists("s/task-lr-0.003/model/model.safetensors"));
  EXPECT_TRUE(exists("s/task-lr-0.001/model/model.safetensors"));
  EXPECT_FALSE(exists("s/task-lr-1e+38/model"));
  EXPECT_THAT(read("s/report.html"), AllOf(HasSubstr("task-lr-1e+38"), HasSubstr("first not finite: ")));

  const std::string trained = read("s/task-lr-0.003/checkpoints/step-000004/trainer_state.json");
  const ProgramResult again = program(command);
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.out, AllOf(HasSubstr("task-lr-0.001"), HasSubstr("failed")));
  EXPECT_EQ(read("s/task-lr-0.003/checkpoints/step-000004/trainer_state.json"), trained);
}

TEST_F(Sweep, OutlivesAPointWhoseRecordsAreSpoiled) {
  const std::string command = "sweep task.toml --grid 'seed=[1,2]' --out s";
  ASSERT_EQ(program(command).status, 0);
  write("s/task-seed-1/metrics.jsonl", "no record\n");
  const ProgramResult result = program(command);
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.out, AllOf(HasSubstr("metrics.jsonl:1"), HasSubstr("task-seed-2")));
}

TEST_F(Sweep, ReadsEverythingBeforeItTrains) {
  const auto refused = [&](const std::string& arguments, int status, const std::string& says) {
    const ProgramResult result = program("sweep " + arguments + " --out s");
    EXPECT_EQ(result.status, status) << arguments;
    EXPECT_THAT(result.err, HasSubstr(says)) << arguments;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_FALSE(exists("s")) << arguments;
  };
  refused("task.toml --grid 'optimizer.lr=[0.003,-1]'", 2, "optimizer.lr: expected");
  refused("task.toml missing.toml", 2, "missing.toml: cannot open");
  refused("task.toml task.toml", 2, "the name task is taken in this sweep");
  refused("task.toml --grid 'model.mixers=[[{type=\"attention\"}],[{type=\"attenton\"}]]'", 2,
          "did you mean 'attention'");
  refused("task.toml --grid 'model.mixers=[[{type=\"attention\"}],[{type=\"attention\",num_heads=99}]]'", 2, "99");
  refused("task.toml --grid 'name=[\"a\",\"../evil\"]'", 2, "a run's name is a plain file name, found \"../evil\"");
  refused("task.toml --grid 'name=[\"a\",\"" + std::string(250, 'x') + "\"]'", 2, "at most 240 bytes");
  refused("task.toml --set name=report.html", 2, "report.html is taken");
  refused("task.toml --grid 'data.options.pairs=[2,4000]'", 2, "found pairs = 4000");
  refused("task.toml --grid 'data.test_options=[{},{pairs=4000}]'", 2, "found pairs = 4000");
  write("text.toml", "name = \"text\"\n[data]\ntext = [\"absent.txt\"]\n[train]\nsteps = 1\n");
  refused("task.toml text.toml", 1, "absent.txt");
}

TEST_F(Sweep, RefusesFoldersOfSomethingElseBeforeItTrains) {
  std::filesystem::create_directories(folder_ / "s/task-seed-2");
  write("s/task-seed-2/notes.txt", "mine");
  const std::string command = "sweep task.toml --grid 'seed=[1,2]' --out s";
  EXPECT_EQ(program(command).status, 2);
  std::filesystem::remove_all(folder_ / "s/task-seed-2");
  write("s/task-seed-2", "a file");
  EXPECT_EQ(program(command).status, 2);
  EXPECT_FALSE(exists("s/task-seed-1"));
  std::filesystem::remove(folder_ / "s/task-seed-2");
  ASSERT_EQ(program(command).status, 0);
  const ProgramResult other = program("sweep task.toml --grid 'seed=[3,2]' --set train.epochs=1 --out s");
  EXPECT_EQ(other.status, 2);
  EXPECT_THAT(other.err, HasSubstr("task-seed-2 holds a run of another recipe"));
  EXPECT_FALSE(exists("s/task-seed-3"));
}

TEST_F(Sweep, NeedsAFolderBeforeItTrains) {
  write("file", "");
  const ProgramResult result = program("sweep task.toml --out file/s");
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, testing::StartsWith("rebased: file/s: cannot make the folder: "));
}

// Every kind of data has a score of its own; a table of several says which.
TEST_F(Sweep, ShowsTheScoresOfEveryKindOfData) {
  write("corpus.txt", std::string(500, 'a') + std::string(500, 'b'));
  write("text.toml",
        "name = \"text\"\n[data]\ntext = [\"corpus.txt\"]\nseq_len = 16\n[model]\nd_model = 8\n"
        "mixers = [{ type = \"identity\" }]\n[train]\nsteps = 2\nbatch_size = 2\n");
  const ProgramResult mixed = program("sweep task.toml text.toml --out s");
  EXPECT_EQ(mixed.status, 0) << mixed.err;
  EXPECT_THAT(mixed.out, testing::ContainsRegex("run +score +parameters"));
  EXPECT_THAT(mixed.out, AllOf(HasSubstr("test accuracy 0."), HasSubstr("bits per byte ")));
  EXPECT_THAT(read("s/report.html"), AllOf(HasSubstr(">test accuracy</th>"), HasSubstr(">bits per byte</th>"),
                                           HasSubstr(">test loss</th>"), HasSubstr(">validation loss</th>")));
  EXPECT_THAT(program("sweep task.toml --out task").out, testing::ContainsRegex("run +test accuracy +parameters"));
  EXPECT_THAT(program("sweep text.toml --out text").out, testing::ContainsRegex("run +bits per byte +parameters"));
}

TEST_F(Sweep, VariesTheMixersAndStaysInItsFolder) {
  const ProgramResult mixers = program(
      "sweep task.toml --grid 'model.mixers=[[{type=\"rebased\",num_heads=2}],[{type=\"attention\"}]]' --out s");
  EXPECT_EQ(mixers.status, 0) << mixers.err;
  EXPECT_TRUE(exists("s/task-mixers-rebased-num_heads-2/model"));
  EXPECT_TRUE(exists("s/task-mixers-attention/model"));
  EXPECT_THAT(read("s/task-mixers-attention/recipe.toml"), HasSubstr("type = \"attention\""));
  EXPECT_EQ(program("sweep task.toml --grid 'description=[\"a/b\",\"../../out\"]' --out s2").status, 0);
  EXPECT_TRUE(exists("s2/task-description-a-b/model"));
  EXPECT_TRUE(exists("s2/task-description-------out/model"));
  EXPECT_FALSE(exists("out"));
}

class Validate : public Sweep {};

TEST_F(Validate, ReportsStepsThatDiverge) {
  EXPECT_EQ(program("validate task.toml --steps 1").status, 0);
  for (const std::string flags : {"", " --json", " --steps 1"}) {
    const ProgramResult result = program("validate task.toml --set optimizer.lr=1e38" + flags);
    EXPECT_EQ(result.status, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_THAT(result.err, AllOf(HasSubstr("first not finite: "), Not(HasSubstr("checkpoint"))));
  }
}

TEST_F(Validate, TrainAndBenchSayTheSame) {
  EXPECT_EQ(program("bench task.toml --rounds 1 --set optimizer.lr=1e38").status, 1);
  const ProgramResult result = program("train task.toml --out r --set optimizer.lr=1e38 --set train.steps=1");
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(result.err, HasSubstr("last good checkpoint: none"));
  EXPECT_FALSE(exists("r/model"));
  EXPECT_FALSE(exists("r/report.html"));
}

}  // namespace
}  // namespace rebased
