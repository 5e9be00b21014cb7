#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "config/document.h"
#include "io/file.h"
#include "train/checkpoint.h"
#include "train/trainer.h"

namespace rebased::testing {

inline constexpr const char* kSmall = R"(
seed = 3
[data]
task = "mqar"
options = { vocab_size = 32, seq_len = 16, pairs = 2, generator = "fast" }
train_examples = 100
test_examples = 32
[model]
d_model = 16
mixers = [{ type = "base_conv" }, { type = "rebased", num_heads = 2, feature_dim = 4 }]
[train]
batch_size = 32
epochs = 3
log_every = 1
)";

// Runs of a small recipe, in a folder of their own.
class TrainerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = std::filesystem::path(::testing::TempDir()) / ("trainer_" + std::to_string(::getpid()));
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
    set_thread_count(2);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  static Recipe recipe(const std::vector<std::string>& assignments = {}) {
    Json document = parse_toml(kSmall, "small.toml");
    for (const std::string& assignment : assignments) apply_set(document, assignment);
    return recipe_from_json(document, "small.toml");
  }

  TrainEnd train(const Recipe& r, const std::string& name, bool resume = false) {
    const std::filesystem::path path = root_ / name;
    const RunFolder folder = std::filesystem::exists(path) ? RunFolder::open(path) : RunFolder::create(path);
    write_file_atomic(folder.recipe().string(), to_toml(options_to_json(r)));
    Trainer trainer(r, make_tape_engine(r), folder, stop_);
    if (resume) trainer.resume();
    Progress progress({.mode = ProgressMode::kSilent});
    return trainer.run(progress);
  }

  std::string weights(const std::string& name, const char* which = "model") {
    return read_file((root_ / name / which / "model.safetensors").string());
  }
  Evaluation evaluation(const std::string& name, const char* which) {
    return saved_evaluation(root_ / name / which).value();
  }
  // The steps of a run's evaluations with their accuracies.
  std::map<int64_t, double> accuracies(const std::string& name) {
    std::map<int64_t, double> found;
    for (const Json& record : read_metrics(root_ / name / "metrics.jsonl")) {
      if (record.contains("test_accuracy"))
        found[record["step"].get<int64_t>()] = record["test_accuracy"].get<double>();
    }
    return found;
  }

  std::filesystem::path root_;
  std::atomic<bool> stop_{false};
};

}  // namespace rebased::testing
