#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "train/small_run.h"

namespace rebased::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST_F(TrainerTest, TheFirstEvaluationIsTheBestSoFar) {
  const Recipe r = recipe({"train.steps=1", "train.stop_accuracy=1"});
  train(r, "one");
  Trainer trainer(r, make_tape_engine(r), RunFolder::open(root_ / "one"), stop_);
  trainer.resume();
  EXPECT_EQ(trainer.state().best_step, 1);
  EXPECT_EQ(trainer.state().best, trainer.state().last);
}

// Its accuracies are 0.047, 0.0625 and 0.047: the best is in the middle. A model is what a run that ends there has.
TEST_F(TrainerTest, ModelIsOfTheBestEvaluationAndLastOfTheLast) {
  train(recipe(), "whole");
  const auto found = accuracies("whole");
  const auto best = std::max_element(found.begin(), found.end(), [](auto& a, auto& b) { return a.second < b.second; });
  ASSERT_LT(best->first, 12);
  EXPECT_EQ(evaluation("whole", "model").step, best->first);
  EXPECT_EQ(evaluation("whole", "model").score.value, best->second);
  EXPECT_EQ(evaluation("whole", "last").step, 12);
  EXPECT_EQ(evaluation("whole", "last").score.value, found.at(12));
  EXPECT_NE(weights("whole"), weights("whole", "last"));
  const auto tensors = [&](const std::string& folder) {
    std::map<std::string, std::vector<float>> all;
    const SafetensorsFile file = SafetensorsFile::open((root_ / "whole" / folder / "model.safetensors").string());
    for (const auto& [name, view] : file.tensors()) all[name] = read_f32(view);
    return all;
  };
  EXPECT_EQ(tensors("model"), tensors(fmt::format("checkpoints/step-{:06}", best->first)));
  EXPECT_EQ(tensors("last"), tensors("checkpoints/step-000012"));
}

TEST_F(TrainerTest, ARunThatEndsAtItsBestHoldsEqualModels) {
  train(recipe({"train.epochs=1", "train.stop_accuracy=1"}), "run");
  EXPECT_EQ(weights("run"), weights("run", "last"));
  EXPECT_FALSE(fs::exists(root_ / "run/last/trainer_state.json"));
}

// A process killed between two saves leaves the first of them only. What is missing then comes from its checkpoint, and
// the best that was saved after the newest checkpoint stays the best.
TEST_F(TrainerTest, ARunKilledBetweenTwoSavesKeepsItsBest) {
  const Recipe r = recipe({"train.checkpoint_every=3", "train.keep_checkpoints=9"});
  train(r, "whole");
  train(r, "killed");
  const auto cut_to = [&](int64_t step) {
    for (const CheckpointEntry& entry : RunFolder::open(root_ / "killed").list_checkpoints()) {
      if (entry.step > step) fs::remove_all(entry.path);
    }
    fs::remove_all(root_ / "killed/last");
  };
  for (const int64_t newest : {12, 9, 6, 3}) {  // the best is of step 8
    cut_to(newest);
    train(r, "killed", true);
    EXPECT_EQ(weights("killed"), weights("whole")) << newest;
    EXPECT_EQ(weights("killed", "last"), weights("whole", "last")) << newest;
    EXPECT_EQ(accuracies("killed"), accuracies("whole")) << newest;
  }
  cut_to(6);
  fs::remove_all(root_ / "killed/model");  // before the best was evaluated, and that of step 4 is lost
  train(r, "killed", true);
  EXPECT_EQ(weights("killed"), weights("whole"));
}

// Runs of earlier versions hold the last weights in RUN/model and do not say so.
TEST_F(TrainerTest, ARunOfAnEarlierVersionIsFinishedWithWhatItHas) {
  const Recipe r = recipe({"train.checkpoint_every=3", "train.keep_checkpoints=9"});
  train(r, "run");
  const std::string best = weights("run"), last = weights("run", "last");
  const fs::path old = root_ / "run/checkpoints/step-000012/model.safetensors";
  fs::copy_file(old, root_ / "run/model/model.safetensors", fs::copy_options::overwrite_existing);
  fs::remove_all(root_ / "run/last");
  for (int i = 0; i < 2; ++i) {
    train(r, "run", true);  // finished
    EXPECT_EQ(weights("run"), last);
    EXPECT_EQ(weights("run", "last"), last);
  }
  {
    Trainer trainer(r, make_tape_engine(r), RunFolder::open(root_ / "run"), stop_);
    trainer.resume();
    EXPECT_EQ(trainer.state().best_step, 8);  // as its tables said
  }
  fs::remove_all(root_ / "run/model");
  fs::remove_all(root_ / "run/checkpoints/step-000012");
  train(r, "run", true);  // from step 9: the best of what comes is the last
  EXPECT_EQ(weights("run"), last);
}

}  // namespace
}  // namespace rebased::testing
