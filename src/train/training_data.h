#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/batch.h"
#include "config/options.h"
#include "engine/engine.h"
#include "nn/sequence_model.h"
#include "record/score.h"
#include "text/tokenizer.h"

namespace rebased {

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

// A model that a run must beat, and the score that it is judged by.
struct Baseline {
  std::string name;
  double value = 0;
};

// What a run learns from, opened. Every batch is a function of (recipe, step), so that a run resumes anywhere.
class TrainingData {
 public:
  virtual ~TrainingData() = default;
  virtual Batch batch(int64_t step) = 0;  // 0-based, over all epochs
  // The scores of DataSource::scores with their values. Throws NotFiniteError when a loss is infinite or NaN.
  virtual std::vector<Score> evaluate(SequenceModel& model, Engine& engine) = 0;
  virtual bool ends_run(const std::vector<Score>&) const { return false; }  // the recipe asks for no better ones
  virtual std::string summary() const = 0;                                  // a sentence for people
  virtual std::vector<Baseline> baselines() { return {}; }
  virtual std::vector<DataFile> files() const { return {}; }                // all that it reads, in their order
  virtual std::unique_ptr<Tokenizer> tokenizer() const { return nullptr; }  // of the model; null: it has none
};

}  // namespace rebased
