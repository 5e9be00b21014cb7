#include "train/training_data.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "data/batches.h"
#include "data/ngram.h"
#include "data/task_registry.h"
#include "data/text_shards.h"
#include "eval/perplexity.h"
#include "eval/recall.h"
#include "train/recipe_size.h"

namespace rebased {
namespace {

class TaskTraining : public TrainingData {
 public:
  explicit TaskTraining(const Recipe& recipe) : recipe_(recipe) {
    const DataRecipe& data = recipe.data;
    train_ = generate_task(data.task, data.options, data.train_examples, static_cast<uint64_t>(data.train_seed));
    test_ =
        generate_task(data.task, data.all_test_options(), data.test_examples, static_cast<uint64_t>(data.test_seed));
  }

  int64_t steps_per_epoch() const override { return rebased::steps_per_epoch(recipe_); }

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
    const RecallScore score = evaluate_recall(model, engine, test_, {.batch = recipe_.train.eval_batch});
    return {.loss = score.all.loss(), .accuracy = score.all.accuracy()};
  }

  Json describe(const Evaluation& e) const override { return {{"test_loss", e.loss}, {"test_accuracy", e.accuracy}}; }
  bool has_accuracy() const override { return true; }
  std::vector<DataFile> files() const override { return {}; }

  std::string summary() const override {
    return fmt::format("{}: {} training and {} test examples of {} tokens, vocabulary {}", recipe_.data.task,
                       train_.examples, test_.examples, train_.seq_len, train_.vocab_size);
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
    const int64_t T = recipe.data.seq_len, predicted = std::max<int64_t>(validation_.size() - 1, 0);
    check_evaluation_size(recipe, predicted / T + (predicted % T > 0 ? 1 : 0), validation_.name());
  }

  int64_t steps_per_epoch() const override { return 0; }

  Batch batch(int64_t step) override {
    const int64_t B = recipe_.train.batch_size, T = recipe_.data.seq_len;
    const auto seed = derive_key(static_cast<uint64_t>(recipe_.seed), "windows");
    const std::vector<int32_t> ids = sample_windows(shards_.train, B, T, seed, step);
    Batch batch{.B = B, .T = T, .tokens = {}, .labels = {}};
    for (int64_t b = 0; b < B; ++b)
      append_window(std::span(ids).subspan(static_cast<size_t>(b * (T + 1)), static_cast<size_t>(T + 1)), batch);
    return batch;
  }

  Evaluation evaluate(LanguageModel& model, Engine& engine) override {
    const PerplexityScore score = evaluate_perplexity(
        model, engine, validation_, {.window = recipe_.data.seq_len, .batch = recipe_.train.eval_batch});
    return {.loss = score.nll / static_cast<double>(score.predicted), .bits_per_byte = score.bits_per_id()};
  }

  Json describe(const Evaluation& e) const override {
    return {{"validation_loss", e.loss}, {"bits_per_byte", e.bits_per_byte}};
  }
  bool has_accuracy() const override { return false; }

  std::vector<DataFile> files() const override {
    std::vector<DataFile> files;
    for (const TextFile& text : shards_.files) {
      const std::span<const std::byte> bytes = text.file->bytes();
      files.push_back({text.path, static_cast<int64_t>(bytes.size()), fmt::format("{:016x}", xxh64(bytes))});
    }
    return files;
  }

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

  Recipe recipe_;
  TextShards shards_;
  ByteText validation_;
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
