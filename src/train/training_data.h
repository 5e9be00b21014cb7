#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/options.h"
#include "engine/engine.h"
#include "nn/language_model.h"
#include "train/recipe.h"

namespace rebased {

// Rows of token ids and labels, [B, T]; a negative label asks nothing.
struct Batch {
  int64_t B = 0, T = 0;
  std::vector<int64_t> tokens;
  std::vector<int64_t> labels;

  Batch rows(int64_t begin, int64_t count) const;
  int64_t labelled() const;
};

// What an evaluation found. Tasks: accuracy and loss; text: bits per byte and loss.
struct Evaluation {
  double loss = 0;           // nats for each labelled position
  double accuracy = 0;       // best id is the label, over all labelled positions
  double bits_per_byte = 0;  // text only
};

// A file of text as it was when it was opened.
struct DataFile {
  std::string path;
  int64_t bytes = 0;
  std::string xxh64;  // of its bytes, 16 hexadecimal digits

  bool operator==(const DataFile&) const = default;

  template <class V>
  void visit(V& v) {
    v("path", path, "as it was opened");
    v("bytes", bytes, "its size", any_value<int64_t>());
    v("xxh64", xxh64, "hash of its bytes");
  }
};

// Where batches come from. Every batch is a function of (recipe, step), so that a run resumes anywhere.
class TrainingData {
 public:
  virtual ~TrainingData() = default;
  virtual int64_t steps_per_epoch() const = 0;  // 0: no epochs
  virtual Batch batch(int64_t step) = 0;        // 0-based, over all epochs
  virtual Evaluation evaluate(LanguageModel& model, Engine& engine) = 0;
  // Rows for the metrics of an evaluation, by the kind of data.
  virtual Json describe(const Evaluation& evaluation) const = 0;
  virtual bool has_accuracy() const = 0;
  virtual std::vector<DataFile> files() const = 0;  // that it reads, in their order; reads all of them
  // A sentence about the data for people, and baselines that a model must beat ("order-2 n-gram bits per byte").
  virtual std::string summary() const = 0;
  virtual std::vector<std::pair<std::string, double>> baselines() = 0;
};

std::unique_ptr<TrainingData> open_training_data(const Recipe& recipe);  // throws ConfigError, IoError

}  // namespace rebased
