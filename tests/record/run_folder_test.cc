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
  run.prune_checkpoints(2);
  EXPECT_THAT(steps_of(run), ElementsAre(400, 300));
  EXPECT_FALSE(std::filesystem::exists(run.checkpoint(350)));
  EXPECT_FALSE(std::filesystem::exists(run.checkpoint(100)));
  EXPECT_TRUE(std::filesystem::exists(run.checkpoint(500)));
  EXPECT_TRUE(std::filesystem::exists(run.checkpoints() / "notes.txt"));
  run.prune_checkpoints(1);
  EXPECT_THAT(steps_of(run), ElementsAre(400));
  EXPECT_THROW(run.prune_checkpoints(0), ConfigError);
}

TEST(RunFolder, WhatAKilledProcessWasWritingIsRemoved) {
  TempFolder folder;
  put_file(folder / "run/recipe.toml.tmp-12-ab", "half");
  const RunFolder run = RunFolder::create(folder / "run");  // empty but for that
  EXPECT_TRUE(std::filesystem::is_empty(run.root()));
  put_file(run.checkpoints() / "step-000003.tmp-12-ab/config.json", "{}");
  put_file(run.checkpoint(2) / "config.json", "{}");
  run.remove_leftovers();
  EXPECT_FALSE(std::filesystem::exists(run.checkpoints() / "step-000003.tmp-12-ab"));
  EXPECT_TRUE(std::filesystem::exists(run.checkpoint(2)));
}

}  // namespace
}  // namespace rebased
