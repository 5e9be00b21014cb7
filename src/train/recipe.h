#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/threads.h"
#include "config/limits.h"
#include "config/options.h"
#include "nn/model_config.h"
#include "record/run_folder.h"

namespace rebased {

// What is learned from: exactly one of the kinds in data_source.h.
struct DataRecipe {
  std::string task;
  Json options = Json::object();
  Json test_options = Json::object();
  int64_t train_examples = 100000;
  int64_t test_examples = 3000;
  int64_t train_seed = 42;
  int64_t test_seed = 52;
  std::vector<std::string> text;
  std::vector<std::string> validation_text;
  double validation_fraction = 0.1;
  std::vector<std::string> extensions;
  int64_t seq_len = 256;
  int64_t validation_bytes = 0;

  template <class V>
  void visit(V& v) {
    v("task", task, "synthetic task (rebased ls tasks); empty when text is given");
    v("options", options, "options of the task");
    v("test_options", test_options, "options of the test split that differ");
    v("train_examples", train_examples, "rows of the training split", between(1, kMostRows));
    v("test_examples", test_examples, "rows of the test split", between(1, kMostRows));
    v("train_seed", train_seed, "seed of the training split", any_value<int64_t>());
    v("test_seed", test_seed, "seed of the test split", any_value<int64_t>());
    v("text", text, "text files or folders, learned byte by byte; a relative path is looked for beside the recipe too");
    v("validation_text", validation_text, "text to validate on; none: the end of the training text");
    v("validation_fraction", validation_fraction, "the part of the text at its end that is kept for validation",
      between(0, 0.9));
    v("extensions", extensions, "take only these files of folders, such as \".txt\"; none: all");
    v("seq_len", seq_len, "bytes of one training window", between(1, kMostTokens));
    v("validation_bytes", validation_bytes, "validate on the first so many bytes only; 0: on all",
      between(0, kMostSteps));
  }
};

struct OptimizerRecipe {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.1;
  std::string decay = "all";
  double clip = 0;

  template <class V>
  void visit(V& v) {
    v("lr", lr, "peak learning rate", positive_number());
    v("beta1", beta1, "decay of the first moment", between(0, 0.999999));
    v("beta2", beta2, "decay of the second moment", between(0, 0.999999999));
    v("eps", eps, "added to the root of the second moment", positive_number());
    v("weight_decay", weight_decay, "decoupled weight decay", number_from_zero());
    v("decay", decay, "what decays: all parameters, or matrices only (no norms, no biases)",
      one_of({"all", "matrices"}));
    v("clip", clip, "largest norm of the gradient; 0: no limit", number_from_zero());
  }
};

struct ScheduleRecipe {
  std::string kind = "cosine_epoch";
  int64_t warmup_steps = 0;
  double final_ratio = 0;

  template <class V>
  void visit(V& v) {
    v("kind", kind,
      "cosine_epoch: a cosine over the epochs, constant inside each, as zoology trains; cosine and linear: over the "
      "steps; "
      "constant",
      one_of({"cosine_epoch", "cosine", "linear", "constant"}));
    v("warmup_steps", warmup_steps, "steps of linear rise from 0", between(0, kMostSteps));
    v("final_ratio", final_ratio, "where the schedule ends, over the peak", between(0, 1));
  }
};

struct TrainRecipe {
  int64_t batch_size = 512;
  int64_t micro_batch = 0;
  int64_t epochs = 64;
  int64_t steps = 0;
  bool shuffle = true;
  bool drop_last = false;
  double stop_accuracy = 0.99;
  int64_t eval_every = 0;
  int64_t eval_batch = 128;
  int64_t log_every = 20;
  int64_t checkpoint_every = 0;
  int64_t keep_checkpoints = 2;
  int64_t stats_every = 0;

  template <class V>
  void visit(V& v) {
    v("batch_size", batch_size, "rows of one optimiser step", between(1, kMostRows));
    v("micro_batch", micro_batch,
      "rows of one pass, whose gradients add up to the step's; 0: a size that suits the cache", between(0, kMostRows));
    v("epochs", epochs, "passes over a task's training split", between(1, kMostSteps));
    v("steps", steps, "optimiser steps; 0: as many as the epochs make (needed for text)", between(0, kMostSteps));
    v("shuffle", shuffle, "a new order of the rows each epoch");
    v("drop_last", drop_last, "leave out an epoch's last batch when it is not full");
    v("stop_accuracy", stop_accuracy, "stop once the test accuracy is above this; 1: never", between(0, 1));
    v("eval_every", eval_every, "steps between evaluations; 0: each epoch, or a twentieth of a text run",
      between(0, kMostSteps));
    v("eval_batch", eval_batch, "rows of one evaluation pass", between(1, kMostRows));
    v("log_every", log_every, "steps between lines of metrics.jsonl", between(1, kMostSteps));
    v("checkpoint_every", checkpoint_every, "steps between checkpoints; 0: at each evaluation", between(0, kMostSteps));
    v("keep_checkpoints", keep_checkpoints, "newest checkpoints that are kept", between(1, kMostSteps));
    v("stats_every", stats_every, "steps between statistics and histograms of every parameter; 0: never",
      between(0, kMostSteps));
  }
};

// An experiment: what a recipe file says. The resolved recipe of a run is a recipe again.
struct Recipe {
  std::string name = "run";
  std::string description;
  int64_t seed = 42;
  int64_t threads = 0;
  std::string device = "cpu";
  std::string precision = "f32";
  ModelConfig model;
  DataRecipe data;
  TrainRecipe train;
  OptimizerRecipe optimizer;
  ScheduleRecipe schedule;

  template <class V>
  void visit(V& v) {
    v("name", name, "names the run folder");
    v("description", description, "a sentence for the report");
    v("seed", seed, "of initial weights, dropout and order", any_value<int64_t>());
    v("threads", threads, "0: every core", between(0, kMostThreads));
    v("device", device, "cpu, or a device of libtorch such as cuda:0 or torch:cpu");
    v("precision", precision, "operands of matrix products with weights: f32, or rounded to bf16",
      one_of({"f32", "bf16"}));
    v("model", model, "the model");
    v("data", data, "what it learns from");
    v("train", train, "how long and how");
    v("optimizer", optimizer, "AdamW");
    v("schedule", schedule, "of the learning rate");
  }
};

// Checks everything that can be checked without running and fills in every default: the model's vocabulary and position
// table from the data where the recipe leaves them out. Throws ConfigError; `where` names the document.
Recipe recipe_from_json(const Json& document, std::string_view where);

// recipe_from_json of the file with assignments "a.b=c" carried out first. Relative text paths that do not exist are
// looked for beside the recipe.
Recipe load_recipe(const std::string& path, const std::vector<std::string>& assignments);

// The recipe that a run goes on with. An option of the model that a run of an earlier version does not name is what its
// checkpoint has.
Recipe load_run_recipe(const RunFolder& folder);

}  // namespace rebased
