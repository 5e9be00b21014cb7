#include "train/training_data.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

#include "base/error.h"
#include "data/batches.h"
#include "data/ngram.h"
#include "data/task_registry.h"
#include "data/text_shards.h"

namespace rebased {
namespace {

// Sums over the labelled positions of several passes.
struct Tally {
  double nll = 0;
  int64_t correct = 0;
  int64_t count = 0;

  void add(const ModelLoss& loss, std::span<const int64_t> labels) {
    for (size_t i = 0; i < loss.positions.size(); ++i) {
      nll += loss.nll[i];
      correct += loss.best[i] == labels[static_cast<size_t>(loss.positions[i])] ? 1 : 0;
    }
    count += static_cast<int64_t>(loss.positions.size());
  }

  Evaluation result() const {
    const auto n = static_cast<double>(std::max<int64_t>(count, 1));
    return {.loss = nll / n, .accuracy = static_cast<double>(correct) / n, .bits_per_byte = nll / n / std::numbers::ln2};
  }
};

void run_batch(LanguageModel& model, Engine& engine, const Batch& batch, Tally& tally) {
  const Value tokens = engine.from_host(batch.tokens.data(), DType::kI64, Shape({batch.B, batch.T}), DType::kI64);
  tally.add(model.loss(tokens, batch.labels, Context{}), batch.labels);
}

class TaskTraining : public TrainingData {
 public:
  explicit TaskTraining(const Recipe& recipe) : recipe_(recipe) {
    const DataRecipe& data = recipe.data;
    Json test_options = data.options;
    test_options.update(data.test_options);
    train_ = generate_task(data.task, data.options, data.train_examples, static_cast<uint64_t>(data.train_seed));
    test_ = generate_task(data.task, test_options, data.test_examples, static_cast<uint64_t>(data.test_seed));
  }

  int64_t steps_per_epoch() const override {
    const int64_t rows = train_.examples, batch = recipe_.train.batch_size;
    return std::max<int64_t>(1, recipe_.train.drop_last ? rows / batch : (rows + batch - 1) / batch);
  }

  Batch batch(int64_t step) override {
    const int64_t epoch = step / steps_per_epoch();
    if (!order_ || epoch != epoch_) {
      const auto seed = derive_key(static_cast<uint64_t>(recipe_.seed), "order");
      order_.emplace(train_.examples, recipe_.train.batch_size, seed, epoch, recipe_.train.shuffle);
      epoch_ = epoch;
    }
    return gather(train_, order_->rows(step % steps_per_epoch()));
  }

  Evaluation evaluate(LanguageModel& model, Engine& engine) override {
    Tally tally;
    const EpochOrder order(test_.examples, recipe_.train.eval_batch, 0, 0, false);
    for (int64_t i = 0; i < order.batches(); ++i) run_batch(model, engine, gather(test_, order.rows(i)), tally);
    return tally.result();
  }

  Json describe(const Evaluation& e) const override { return {{"test_loss", e.loss}, {"test_accuracy", e.accuracy}}; }
  bool has_accuracy() const override { return true; }

  std::string summary() const override {
    return fmt::format("{}: {} training and {} test examples of {} tokens, vocabulary {}", recipe_.data.task, train_.examples,
                       test_.examples, train_.seq_len, train_.vocab_size);
  }
  std::vector<std::pair<std::string, double>> baselines() override { return {}; }

 private:
  static Batch gather(const TaskData& data, std::span<const int64_t> rows) {
    Batch batch{.B = static_cast<int64_t>(rows.size()), .T = data.seq_len, .tokens = {}, .labels = {}};
    batch.tokens.reserve(rows.size() * static_cast<size_t>(data.seq_len));
    batch.labels.reserve(rows.size() * static_cast<size_t>(data.seq_len));
    for (int64_t row : rows) {
      const auto begin = static_cast<std::ptrdiff_t>(row * data.seq_len), end = begin + data.seq_len;
      batch.tokens.insert(batch.tokens.end(), data.inputs.begin() + begin, data.inputs.begin() + end);
      batch.labels.insert(batch.labels.end(), data.labels.begin() + begin, data.labels.begin() + end);
    }
    return batch;
  }

  Recipe recipe_;
  TaskData train_, test_;
  std::optional<EpochOrder> order_;
  int64_t epoch_ = -1;
};

class TextTraining : public TrainingData {
 public:
  explicit TextTraining(const Recipe& recipe)
      : recipe_(recipe),
        shards_(open_text({.train = recipe.data.text,
                           .validation = recipe.data.validation_text,
                           .validation_fraction = recipe.data.validation_fraction,
                           .extensions = recipe.data.extensions})),
        validation_(shards_.validation) {
    const int64_t limit = recipe.data.validation_bytes;
    if (limit > 0 && limit < validation_.size()) validation_ = validation_.part(validation_.name(), 0, limit);
    windows_ = sequential_windows(validation_, recipe.data.seq_len);
  }

  int64_t steps_per_epoch() const override { return 0; }

  Batch batch(int64_t step) override {
    const int64_t B = recipe_.train.batch_size, T = recipe_.data.seq_len;
    const auto seed = derive_key(static_cast<uint64_t>(recipe_.seed), "windows");
    const std::vector<int32_t> ids = sample_windows(shards_.train, B, T, seed, step);
    Batch batch{.B = B, .T = T, .tokens = {}, .labels = {}};
    for (int64_t b = 0; b < B; ++b) append_window(std::span(ids).subspan(static_cast<size_t>(b * (T + 1)), static_cast<size_t>(T + 1)), batch);
    return batch;
  }

  Evaluation evaluate(LanguageModel& model, Engine& engine) override {
    Tally tally;
    for (size_t first = 0; first < windows_.size();) {
      size_t last = first;
      while (last < windows_.size() && windows_[last].length == windows_[first].length &&
             static_cast<int64_t>(last - first) < recipe_.train.eval_batch) {
        ++last;
      }
      run_batch(model, engine, window_batch(first, last), tally);
      first = last;
    }
    return tally.result();
  }

  Json describe(const Evaluation& e) const override { return {{"validation_loss", e.loss}, {"bits_per_byte", e.bits_per_byte}}; }
  bool has_accuracy() const override { return false; }

  std::string summary() const override {
    return fmt::format("text: {} bytes to learn from, {} to validate on", shards_.train.size(), validation_.size());
  }

  std::vector<std::pair<std::string, double>> baselines() override {
    return {{"order-2 byte n-gram", NgramModel(shards_.train).bits_per_byte(validation_)}};
  }

 private:
  static void append_window(std::span<const int32_t> ids, Batch& batch) {
    batch.tokens.insert(batch.tokens.end(), ids.begin(), ids.end() - 1);
    batch.labels.insert(batch.labels.end(), ids.begin() + 1, ids.end());
  }

  Batch window_batch(size_t first, size_t last) const {
    const int64_t length = windows_[first].length;
    Batch batch{.B = static_cast<int64_t>(last - first), .T = length - 1, .tokens = {}, .labels = {}};
    std::vector<int32_t> ids(static_cast<size_t>(length));
    for (size_t i = first; i < last; ++i) {
      validation_.read(windows_[i].begin, length, ids.data());
      append_window(ids, batch);
    }
    return batch;
  }

  Recipe recipe_;
  TextShards shards_;
  ByteText validation_;
  std::vector<TextWindow> windows_;
};

}  // namespace

Batch Batch::rows(int64_t begin, int64_t count) const {
  const auto first = static_cast<std::ptrdiff_t>(begin * T), last = first + static_cast<std::ptrdiff_t>(count * T);
  return {.B = count,
          .T = T,
          .tokens = {tokens.begin() + first, tokens.begin() + last},
          .labels = {labels.begin() + first, labels.begin() + last}};
}

int64_t Batch::labelled() const {
  return std::count_if(labels.begin(), labels.end(), [](int64_t label) { return label >= 0; });
}

std::unique_ptr<TrainingData> open_training_data(const Recipe& recipe) {
  if (recipe.data.is_text()) return std::make_unique<TextTraining>(recipe);
  return std::make_unique<TaskTraining>(recipe);
}

}  // namespace rebased
