#include "train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <map>

#include "base/error.h"
#include "base/finite.h"
#include "base/rng.h"
#include "base/threads.h"
#include "config/document.h"
#include "io/file.h"
#include "train/checkpoint.h"
#include "train/small_run.h"

namespace rebased::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST_F(TrainerTest, SameRecipeSameBits) {
  EXPECT_EQ(train(recipe(), "a"), TrainEnd::kFinished);
  train(recipe(), "b");
  EXPECT_EQ(weights("a"), weights("b"));
  train(recipe({"seed=4"}), "c");
  EXPECT_NE(weights("a"), weights("c"));
}

TEST_F(TrainerTest, InterruptedRunGoesOnToTheSameBits) {
  train(recipe({"train.checkpoint_every=5"}), "whole");
  stop_ = true;  // every call makes one step, saves and stops
  TrainEnd end = train(recipe({"train.checkpoint_every=5"}), "pieces");
  int pieces = 1;
  for (; end == TrainEnd::kInterrupted && pieces < 50; ++pieces)
    end = train(recipe({"train.checkpoint_every=5"}), "pieces", true);
  EXPECT_EQ(pieces, 12);  // 100 rows in batches of 32 are 4 steps an epoch
  EXPECT_EQ(weights("whole"), weights("pieces"));
  auto without_time = [&](const std::string& name) {
    std::vector<Json> records;
    for (Json record : read_metrics(root_ / name / "metrics.jsonl")) {
      record.erase("time");
      records.push_back(record);
    }
    return records;
  };
  EXPECT_EQ(without_time("whole"), without_time("pieces"));
}

TEST_F(TrainerTest, RoundedProductsTrainAlmostAlikeAndResume) {
  const std::vector<std::string> rounded = {"precision=bf16", "train.checkpoint_every=5"};
  train(recipe(), "f32");
  train(recipe(rounded), "whole");
  stop_ = true;
  TrainEnd end = train(recipe(rounded), "pieces");
  for (int i = 0; end == TrainEnd::kInterrupted && i < 50; ++i) end = train(recipe(rounded), "pieces", true);
  EXPECT_EQ(weights("whole"), weights("pieces"));
  EXPECT_NE(weights("whole"), weights("f32"));
  auto last_loss = [&](const std::string& name) {
    double loss = 0;
    for (const Json& record : read_metrics(root_ / name / "metrics.jsonl")) loss = record.value("loss", loss);
    return loss;
  };
  EXPECT_NEAR(last_loss("whole"), last_loss("f32"), 0x1p-8 * last_loss("f32"));  // the rounding of one operand
}

TEST_F(TrainerTest, RefusesToGoOnFromPackedWeights) {
  stop_ = true;
  train(recipe(), "run");
  const fs::path checkpoint = root_ / "run" / "checkpoints" / "step-000001";
  const std::string file = (checkpoint / "model.safetensors").string();
  std::vector<TensorToWrite> tensors;
  const SafetensorsFile whole = SafetensorsFile::open(file);
  for (const auto& [name, view] : whole.tensors()) tensors.push_back({name, view.dtype, view.shape, view.data.data()});
  write_safetensors(file, tensors, {{"format", "pt"}, {"weights", "int8"}});
  EXPECT_THAT([&] { train(recipe(), "run", true); },
              ThrowsMessage<FormatError>(
                  AllOf(HasSubstr(checkpoint.string()), HasSubstr("expected whole weights to "
                                                                  "train on, found weights packed as int8"))));
}

TEST_F(TrainerTest, OtherDevicesAreOfAnotherProgram) {
  EXPECT_THAT([] { make_tape_engine(recipe({"device=cuda:0"})); },
              ThrowsMessage<ConfigError>(HasSubstr("device: expected cpu, found cuda:0")));
}

TEST_F(TrainerTest, FinishedRunIsLeftAlone) {
  train(recipe(), "a");
  const std::string before = weights("a");
  EXPECT_EQ(train(recipe(), "a", true), TrainEnd::kFinished);
  EXPECT_EQ(weights("a"), before);
}

TEST_F(TrainerTest, SizeOfAPassChangesOnlyRounding) {
  auto gradient = [&](const std::string& rows) {
    Recipe r = recipe({"model.embed_dropout=0", "train.micro_batch=" + rows});
    Trainer trainer(r, make_tape_engine(r), std::nullopt, stop_);
    std::vector<double> all{trainer.accumulate(trainer.data().batch(0), 0)};
    for (const Param& param : trainer.model().parameters().params()) {
      const Value grad = trainer.engine().autograd()->gradient(param.value);
      std::vector<double> numbers(static_cast<size_t>(grad.shape().numel()));
      trainer.engine().to_host(grad, numbers.data(), DType::kF64);
      all.insert(all.end(), numbers.begin(), numbers.end());
    }
    return all;
  };
  const std::vector<double> whole = gradient("32");
  const auto largest = [](const std::vector<double>& x) {
    double most = 0;
    for (double element : x) most = std::max(most, std::abs(element));
    return most;
  };
  for (const char* rows : {"5", "1"}) {
    std::vector<double> apart = gradient(rows);
    ASSERT_EQ(apart.size(), whole.size());
    for (size_t i = 0; i < whole.size(); ++i) apart[i] -= whole[i];
    // Sums of 32 rows in another order: a few float32 roundings of the largest gradient.
    EXPECT_LT(largest(apart), 1e-5 * largest(whole)) << rows;
  }
}

TEST_F(TrainerTest, StopsEarlyOnceTheAccuracyIsAboveTheGoal) {
  Recipe r = recipe({"train.stop_accuracy=0.0", "train.eval_every=2", "train.epochs=50"});
  train(r, "early");
  const auto records = read_metrics(root_ / "early" / "metrics.jsonl");
  EXPECT_LT(records.back()["step"].get<int64_t>(), 200);
}

TEST_F(TrainerTest, NonFiniteLossNamesStepTensorAndCheckpoint) {
  Recipe r = recipe({"optimizer.lr=1e30", "train.checkpoint_every=1", "train.eval_every=1"});
  EXPECT_THAT([&] { train(r, "nan"); }, ThrowsMessage<Error>(AllOf(HasSubstr("step "), HasSubstr("first not finite: "),
                                                                   HasSubstr("last good checkpoint: "))));
}

// The learning rate, divided by 1 - beta1, is infinite in float32: the first update spoils every weight.
TEST_F(TrainerTest, WeightsThatAreNotFiniteAreNeverSaved) {
  const auto refused = [&](const std::vector<std::string>& assignments, const std::string& says) {
    std::vector<std::string> all = assignments;
    all.insert(all.begin(), "optimizer.lr=1e38");
    EXPECT_THAT([&] { train(recipe(all), "nan"); },
                ThrowsMessage<NotFiniteError>(AllOf(HasSubstr(says), HasSubstr("first not finite: parameter "),
                                                    HasSubstr("last good checkpoint: none"))));
    EXPECT_FALSE(fs::exists(root_ / "nan" / "model"));
    EXPECT_TRUE(RunFolder::open(root_ / "nan").list_checkpoints().empty());
    fs::remove_all(root_ / "nan");
  };
  refused({"train.checkpoint_every=1"}, "step 1: the update left numbers that are not finite");
  refused({"train.eval_every=1"}, "evaluation after step 1: the task: a loss is ");
  refused({"train.steps=1"}, "evaluation after step 1: ");
  refused({}, "step 2: the loss is ");
  stop_ = true;
  refused({}, "step 1: the update left");
}

// Weights of 1e30 are finite, and nothing can be computed with them: what was saved of them is not good.
TEST_F(TrainerTest, ACheckpointThatGivesNoFiniteLossIsNotCalledGood) {
  const Recipe r = recipe({"optimizer.lr=1e30", "train.checkpoint_every=1"});
  EXPECT_THAT([&] { train(r, "nan"); },
              ThrowsMessage<NotFiniteError>(AllOf(HasSubstr("step 2: "), HasSubstr("last good checkpoint: none"))));
}

TEST_F(TrainerTest, RefusesToGoOnFromNumbersThatAreNotFinite) {
  stop_ = true;
  train(recipe(), "run");
  const fs::path checkpoint = root_ / "run" / "checkpoints" / "step-000001";
  for (const auto& [file, tensor] : {std::pair("model.safetensors", "ln_f.weight"),
                                     std::pair("optimizer.safetensors", "v.embeddings.word_embeddings.weight")}) {
    const std::string path = (checkpoint / file).string(), before = read_file(path);
    std::map<std::string, std::vector<float>> data;
    std::vector<TensorToWrite> tensors;
    const SafetensorsFile whole = SafetensorsFile::open(path);
    for (const auto& [name, view] : whole.tensors()) {
      data[name] = read_f32(view);
      if (name == tensor) data[name].back() = -INFINITY;
      tensors.push_back({name, DType::kF32, view.shape, data[name].data()});
    }
    write_safetensors(path, tensors, {{"format", "pt"}});
    EXPECT_THAT([&] { train(recipe(), "run", true); },
                ThrowsMessage<FormatError>(AllOf(HasSubstr(checkpoint.string()), HasSubstr(tensor),
                                                 HasSubstr("expected finite numbers, found infinity or NaN"))));
    write_file_atomic(path, before);
  }
  EXPECT_NO_THROW(train(recipe(), "run", true));
}

// Whatever the first score is, it is the best so far.
TEST_F(TrainerTest, ClippingBoundsTheUpdate) {
  Recipe loose = recipe({"train.epochs=1"}), tight = recipe({"train.epochs=1", "optimizer.clip=1e-12"});
  train(loose, "loose");
  train(tight, "tight");
  EXPECT_NE(weights("loose"), weights("tight"));
}

// Four letters drawn at random, then three times repeated: two bytes of context say nothing, four say three quarters.
TEST_F(TrainerTest, LearnsTextBelowTheTrigramAndWritesATokenizer) {
  std::string text;
  Rng rng(1);
  for (int i = 0; i < 1000; ++i) {
    std::string block;
    for (int j = 0; j < 4; ++j) block += static_cast<char>('a' + rng.below(4));
    for (int repeat = 0; repeat < 4; ++repeat) text += block;
  }
  write_file_atomic((root_ / "text.txt").string(), text);
  Json document = parse_toml(R"(
[data]
seq_len = 64
[model]
d_model = 32
embed_dropout = 0
mixers = [{ type = "base_conv", kernel = 5 }, { type = "rebased", num_heads = 2, feature_dim = 8 }]
[train]
batch_size = 16
steps = 60
[optimizer]
lr = 0.02
)",
                             "text.toml");
  document["data"]["text"] = {(root_ / "text.txt").string()};
  const Recipe r = recipe_from_json(document, "text.toml");
  train(r, "text");
  Trainer trainer(r, make_tape_engine(r), RunFolder::open(root_ / "text"), stop_);
  trainer.resume();
  EXPECT_LT(trainer.state().best, 0.75 * trainer.data().baselines().front().value);
  EXPECT_TRUE(fs::exists(root_ / "text" / "model" / "tokenizer.json"));
}

TEST_F(TrainerTest, StatisticsAreWrittenForEveryParameter) {
  train(recipe({"train.stats_every=4"}), "stats");
  bool found = false;
  for (const Json& record : read_metrics(root_ / "stats" / "metrics.jsonl"))
    found |= record.contains("mean.layers.1.mixer.ln_q.weight");
  EXPECT_TRUE(found);
}

// A run from before filter_hidden, whose filter network is as wide as its model. The newest checkpoint may be damaged.
TEST_F(TrainerTest, AnOlderRunGoesOnWithTheFilterOfItsCheckpoint) {
  Json document = parse_toml(kSmall, "small.toml");
  document["model"]["d_model"] = 12;
  document["model"]["mixers"] =
      Json::array({Json{{"type", "base_conv"}, {"filter", "implicit"}, {"filter_hidden", 12}}});
  const Recipe r = recipe_from_json(document, "small.toml");
  stop_ = true;
  train(r, "older");
  train(r, "older", true);
  const RunFolder folder = RunFolder::open(root_ / "older");
  const std::string saved = folder.recipe().string();
  Json older = parse_toml(read_file(saved), saved);
  older["model"]["mixers"][0].erase("filter_hidden");
  older["model"].erase("final_norm_eps");
  write_file_atomic(saved, to_toml(older));
  EXPECT_EQ(options_to_json(load_run_recipe(folder)), options_to_json(r));
  ASSERT_EQ(folder.list_checkpoints().size(), 2U);
  write_file_atomic((folder.list_checkpoints()[0].path / "model.safetensors").string(), "cut");
  EXPECT_EQ(options_to_json(load_run_recipe(folder)), options_to_json(r));
}

TEST_F(TrainerTest, CheckpointOfAnotherModelIsRefusedByTensor) {
  train(recipe(), "a");
  const Recipe wider = recipe({"model.d_model=32"});
  Trainer other(wider, make_tape_engine(wider), RunFolder::open(root_ / "a"), stop_);
  EXPECT_THAT([&] { other.resume(); },
              ThrowsMessage<FormatError>(HasSubstr("word_embeddings.weight: expected [32, 32], found [32, 16]")));
}

}  // namespace
}  // namespace rebased::testing
