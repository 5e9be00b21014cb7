#include "record/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "record/temp_folder.h"

namespace rebased {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

void put_checkpoint(const RunFolder& run, int64_t step) {
  put_file(run.checkpoint(step) / "model.safetensors", "weights");
  put_file(run.checkpoint(step) / "trainer_state.json", "{}");
}

std::vector<int64_t> steps_of(const RunFolder& run) {
  std::vector<int64_t> steps;
  for (const CheckpointEntry& entry : run.list_checkpoints()) steps.push_back(entry.step);
  return steps;
}

TEST(RunFolder, NamesItsParts) {
  TempFolder folder;
  const RunFolder run = RunFolder::create(folder / "a/b");
  EXPECT_TRUE(std::filesystem::is_directory(folder / "a/b"));
  EXPECT_EQ(run.recipe(), folder / "a/b/recipe.toml");
  EXPECT_EQ(run.environment(), folder / "a/b/environment.json");
  EXPECT_EQ(run.metrics(), folder / "a/b/metrics.jsonl");
  EXPECT_EQ(run.log(), folder / "a/b/log.txt");
  EXPECT_EQ(run.report(), folder / "a/b/report.html");
  EXPECT_EQ(run.checkpoint(123), folder / "a/b/checkpoints/step-000123");
  EXPECT_EQ(run.checkpoint(12345678), folder / "a/b/checkpoints/step-12345678");
}

TEST(RunFolder, CreateTakesAnEmptyFolderAndRefusesOthers) {
  TempFolder folder;
  EXPECT_EQ(RunFolder::create(folder.path()).root(), folder.path());
  put_file(folder / "other/holiday.jpg", "x");
  EXPECT_THAT([&] { RunFolder::create(folder / "other"); }, ThrowsMessage<ConfigError>(HasSubstr("is not empty")));
  put_file(folder / "run/recipe.toml", "");
  EXPECT_THAT([&] { RunFolder::create(folder / "run"); },
              ThrowsMessage<ConfigError>(HasSubstr("rebased train " + (folder / "run").string() + " --resume")));
  put_file(folder / "file", "");
  EXPECT_THAT([&] { RunFolder::create(folder / "file"); }, ThrowsMessage<ConfigError>(HasSubstr("is a file")));
  EXPECT_THROW(RunFolder::create(folder / "file/below"), Error);
}

TEST(RunFolder, OpenWantsARecipe) {
  TempFolder folder;
  EXPECT_THROW(RunFolder::open(folder / "absent"), ConfigError);
  EXPECT_THROW(RunFolder::open(folder.path()), ConfigError);
  EXPECT_FALSE(RunFolder::is_run(folder.path()));
  put_file(folder / "recipe.toml", "");
  EXPECT_EQ(RunFolder::open(folder.path()).root(), folder.path());
}

TEST(RunFolder, NextNameIsAboveTheHighestInUse) {
  TempFolder folder;
  EXPECT_EQ(RunFolder::create_next(folder / "runs", "mqar").root(), folder / "runs/mqar-001");
  EXPECT_EQ(RunFolder::create_next(folder / "runs", "mqar").root(), folder / "runs/mqar-002");
  std::filesystem::create_directory(folder / "runs/mqar-041");
  std::filesystem::create_directory(folder / "runs/mqar-old");
  std::filesystem::create_directory(folder / "runs/mqar-tiny-077");
  EXPECT_EQ(RunFolder::create_next(folder / "runs", "mqar").root(), folder / "runs/mqar-042");
  EXPECT_EQ(RunFolder::create_next(folder / "runs", "mqar-tiny").root(), folder / "runs/mqar-tiny-078");
  for (const char* bad : {"", ".", "..", "a/b"})
    EXPECT_THROW(RunFolder::create_next(folder / "runs", bad), ConfigError);
}

TEST(RunFolder, ListsCompleteCheckpointsNewestFirst) {
  TempFolder folder;
  const RunFolder run = RunFolder::create(folder / "run");
  EXPECT_THAT(run.list_checkpoints(), IsEmpty());
  for (int64_t step : {200, 1000000, 30}) put_checkpoint(run, step);
  put_file(run.checkpoint(400) / "model.safetensors", "weights");
  put_file(run.checkpoint(500) / "trainer_state.json", "{}");
  put_file(run.checkpoints() / "step-abc/model.safetensors", "");
  put_file(run.checkpoints() / "step-000600", "a file");
  EXPECT_THAT(steps_of(run), ElementsAre(1000000, 200, 30));
  EXPECT_EQ(run.list_checkpoints()[1].path, run.checkpoint(200));
}

TEST(RunFolder, PrunesOldAndBrokenCheckpoints) {
  TempFolder folder;
  const RunFolder run = RunFolder::create(folder / "run");
  for (int64_t step : {100, 200, 300, 400}) put_checkpoint(run, step);
  put_file(run.checkpoint(350) / "model.safetensors", "torn long ago");
  put_file(run.checkpoint(500) / "model.safetensors", "being written");
  put_file(run.checkpoints() / "notes.txt", "mine");
  run.prune_checkpoints(2, 500);
  EXPECT_THAT(steps_of(run), ElementsAre(400, 300));
  EXPECT_FALSE(std::filesystem::exists(run.checkpoint(350)));
  EXPECT_FALSE(std::filesystem::exists(run.checkpoint(100)));
  EXPECT_TRUE(std::filesystem::exists(run.checkpoint(500)));
  EXPECT_TRUE(std::filesystem::exists(run.checkpoints() / "notes.txt"));
  run.prune_checkpoints((int64_t{1} << 32) + 1, 500);  // as many as there are
  EXPECT_THAT(steps_of(run), ElementsAre(400, 300));
  run.prune_checkpoints(1, 500);
  EXPECT_THAT(steps_of(run), ElementsAre(400));
  EXPECT_THROW(run.prune_checkpoints(0, 500), ConfigError);
}

// After a checkpoint was passed over, later ones are there that may be damaged: they must not crowd out good ones.
TEST(RunFolder, CheckpointsBehindTheStepInHandNeitherCountNorGo) {
  TempFolder folder;
  const RunFolder run = RunFolder::create(folder / "run");
  for (int64_t step : {100, 200, 300}) put_checkpoint(run, step);
  run.prune_checkpoints(1, 200);
  EXPECT_THAT(steps_of(run), ElementsAre(300, 200));
}

TEST(RunFolder, PruningLeavesWhatAUserPutThere) {
  TempFolder folder;
  const RunFolder run = RunFolder::create(folder / "run");
  for (int64_t step : {100, 200, 300}) put_checkpoint(run, step);
  put_file(run.checkpoint(100) / "NOTES.md", "mine");
  std::filesystem::rename(run.checkpoint(200), folder / "far");
  std::filesystem::create_directory_symlink(folder / "far", run.checkpoint(200));
  run.prune_checkpoints(1, 300);
  put_file(run.checkpoint(50) / "model.safetensors", "old");
  put_file(folder / "state", "kept elsewhere");
  std::filesystem::create_symlink(folder / "state", run.checkpoint(50) / "trainer_state.json");
  run.prune_checkpoints(1, 300);
  EXPECT_FALSE(std::filesystem::exists(run.checkpoint(50) / "model.safetensors"));
  EXPECT_TRUE(std::filesystem::is_symlink(run.checkpoint(50) / "trainer_state.json"));
  EXPECT_EQ(get_file(folder / "state"), "kept elsewhere");
  EXPECT_EQ(get_file(run.checkpoint(100) / "NOTES.md"), "mine");
  EXPECT_FALSE(std::filesystem::exists(run.checkpoint(100) / "model.safetensors"));
  EXPECT_EQ(get_file(folder / "far/model.safetensors"), "weights");
  EXPECT_TRUE(std::filesystem::is_symlink(run.checkpoint(200)));
}

constexpr const char* kEnding = ".rebased-tmp-0000000c-000000ab";

TEST(RunFolder, WhatAKilledProcessWasWritingIsRemoved) {
  TempFolder folder;
  RunFolder::create(folder / "run");
  put_file(folder / ("run/recipe.toml" + std::string(kEnding)), "half");
  const RunFolder run = RunFolder::create(folder / "run");  // empty but for that
  EXPECT_FALSE(std::filesystem::exists(folder / ("run/recipe.toml" + std::string(kEnding))));
  const auto torn = run.checkpoints() / ("step-000003" + std::string(kEnding));
  put_file(torn / "config.json", "{}");
  put_file(run.checkpoint(2) / "config.json", "{}");
  run.remove_leftovers();
  EXPECT_FALSE(std::filesystem::exists(torn));
  EXPECT_TRUE(std::filesystem::exists(run.checkpoint(2)));
}

TEST(RunFolder, NothingElseIsRemoved) {
  TempFolder folder;
  const std::string ending = kEnding;
  const RunFolder run = RunFolder::create(folder / "run");
  const std::vector<std::filesystem::path> others = {
      run.root() / "thesis.tmp-2024/chapter1.txt",  // names of others
      run.root() / "recipe.toml.tmp-1f-ab",
      run.root() / ("notes.md" + ending),
      run.root() / ("int4" + ending) / "config.json",  // another program converts into the run
      run.checkpoints() / ("model" + ending) / "config.json",
      run.checkpoints() / ("step-abc" + ending),
      run.checkpoints() / ("step-000003" + ending) / "NOTES.md",  // another's file in what is ours
  };
  for (const auto& path : others) put_file(path, "mine");
  put_file(folder / "far/config.json", "mine");
  std::filesystem::create_directory_symlink(folder / "far", run.root() / ("model" + ending));
  run.remove_leftovers();
  for (const auto& path : others) EXPECT_EQ(get_file(path), "mine") << path;
  EXPECT_EQ(get_file(folder / "far/config.json"), "mine");
}

// A file of that name may be anybody's: what is ours has our mark in it.
TEST(RunFolder, AFolderWithALockOfAnotherIsNotTouched) {
  TempFolder folder;
  const std::string ending = kEnding, ours = [&] {
    RunFolder::create(folder / "ours");
    return get_file(folder / "ours/rebased.lock");
  }();
  EXPECT_NE(ours, "");
  for (const std::string& lock : std::vector<std::string>{"", "4711", ours + "x", std::string(ours.size(), ' ')}) {
    const auto root = folder / "other";
    put_file(root / "rebased.lock", lock);
    put_file(root / ("recipe.toml" + ending), "mine");
    EXPECT_THAT([&] { RunFolder::create(root); }, ThrowsMessage<ConfigError>(HasSubstr("is not empty")));
    put_file(root / "recipe.toml", "name = 'mine'");  // somebody goes on with it
    RunFolder::open(root).remove_leftovers();
    EXPECT_EQ(get_file(root / ("recipe.toml" + ending)), "mine");
    EXPECT_EQ(get_file(root / "rebased.lock"), lock);
    EXPECT_THAT([&] { RunFolder::create(root); }, ThrowsMessage<ConfigError>(HasSubstr("already holds a run")));
    std::filesystem::remove_all(root);
  }
}

TEST(RunFolder, OneThatWasKilledBeforeItWasMarkedIsTaken) {
  TempFolder folder;
  put_file(folder / "run/rebased.lock", "");
  const RunFolder run = RunFolder::create(folder / "run");
  EXPECT_EQ(get_file(folder / "run/rebased.lock"), get_file(RunFolder::create(folder / "new").root() / "rebased.lock"));
  put_file(folder / "lock", "");
  std::filesystem::create_directory(folder / "linked");
  std::filesystem::create_symlink("../lock", folder / "linked/rebased.lock");
  EXPECT_THROW(RunFolder::create(folder / "linked"), ConfigError);
  EXPECT_EQ(get_file(folder / "lock"), "");
}

TEST(RunFolder, ARefusedFolderIsNotTouched) {
  TempFolder folder;
  const std::string ending = kEnding;
  for (const std::string& name :
       std::vector<std::string>{"thesis.tmp-2024/chapter1.txt", "rebased", "log.txt", "recipe.toml" + ending,
                                "metrics.jsonl", "checkpoints/step-000001/config.json", "sub/rebased.lock"}) {
    const auto root = folder / ("of " + name);
    std::filesystem::remove_all(root);
    put_file(root / name, "mine");
    EXPECT_THAT([&] { RunFolder::create(root); }, ThrowsMessage<ConfigError>(HasSubstr("is not empty"))) << name;
    EXPECT_EQ(get_file(root / name), "mine");
    EXPECT_FALSE(std::filesystem::exists(root / "rebased.lock"));
  }
}

TEST(RunFolder, HasOneProcessAtATime) {
  TempFolder folder;
  {
    const RunFolder run = RunFolder::create(folder / "run");
    put_file(run.recipe(), "");
    const RunFolder copy = run;  // NOLINT(performance-unnecessary-copy-initialization): holds the lock too
    for (const auto take : {&RunFolder::create, &RunFolder::open}) {
      EXPECT_THAT([&] { take(folder / "run"); },
                  ThrowsMessage<IoError>((folder / "run").string() + ": another process is training in this run"));
    }
  }
  EXPECT_EQ(RunFolder::open(folder / "run").root(), folder / "run");
}

// A start that came to no step leaves nothing that another recipe could not replace.
TEST(RunFolder, ARunThatIsNotBegunIsTakenByAnother) {
  TempFolder folder;
  const auto root = folder / "run";
  { put_file(RunFolder::create(root).recipe(), "old"); }
  put_file(root / "log.txt", "");
  put_file(root / "metrics.jsonl", "");
  put_file(root / "NOTES.md", "mine");
  EXPECT_FALSE(RunFolder::is_begun(root));
  EXPECT_EQ(RunFolder::create(root).root(), root);
  EXPECT_EQ(get_file(root / "NOTES.md"), "mine");

  const auto refuses = [&] {
    EXPECT_TRUE(RunFolder::is_begun(root));
    EXPECT_THAT([&] { RunFolder::create(root); }, ThrowsMessage<ConfigError>(HasSubstr("already holds a run")));
  };
  put_file(root / "metrics.jsonl", "{\"step\":1}\n");
  refuses();
  put_file(root / "metrics.jsonl", "");
  put_file(root / "checkpoints/step-000001/config.json", "{}");
  refuses();
  std::filesystem::remove_all(root / "checkpoints");
  std::filesystem::remove(root / "rebased.lock");  // of an earlier version, or laid there by hand
  refuses();
}

TEST(RunFolder, ALinkIsTakenForWhatItNames) {
  TempFolder folder;
  std::filesystem::create_directory(folder / "far");
  std::filesystem::create_directory_symlink(folder / "far", folder / "empty");
  std::filesystem::create_directory_symlink(folder / "none", folder / "dangling");
  for (const char* link : {"empty", "dangling"}) {
    put_file(RunFolder::create(folder / link).recipe(), "");
    EXPECT_TRUE(std::filesystem::is_symlink(folder / link));
  }
  EXPECT_TRUE(RunFolder::is_run(folder / "far"));
  EXPECT_TRUE(RunFolder::is_run(folder / "none"));
}

}  // namespace
}  // namespace rebased
