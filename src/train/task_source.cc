#include "train/task_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>

#include "base/rng.h"
#include "data/batches.h"
#include "data/task_registry.h"
#include "eval/recall.h"
#include "train/recipe_size.h"

namespace rebased {
namespace {

const std::vector<Score> kScores = {{.name = "test_accuracy", .unit = "", .higher_is_better = true},
                                    {.name = "test_loss", .unit = "nats"}};

Json test_options(const DataRecipe& data) {
  Json all = data.options;
  all.update(data.test_options);
  return all;
}

TaskData train_split(const DataRecipe& data, int64_t examples) {
  return generate_task(data.task, data.options, examples, static_cast<uint64_t>(data.train_seed));
}

TaskData test_split(const DataRecipe& data, int64_t examples) {
  return generate_task(data.task, test_options(data), examples, static_cast<uint64_t>(data.test_seed));
}

class TaskTraining : public TrainingData {
 public:
  explicit TaskTraining(const Recipe& recipe)
      : recipe_(recipe),
        train_(train_split(recipe.data, recipe.data.train_examples)),
        test_(test_split(recipe.data, recipe.data.test_examples)),
        steps_per_epoch_(rebased::steps_per_epoch(recipe)) {}

  Batch batch(int64_t step) override {
    const int64_t epoch = step / steps_per_epoch_;
    if (!order_ || epoch != epoch_) {
      const auto seed = derive_key(static_cast<uint64_t>(recipe_.seed), "order");
      order_.emplace(train_.examples, recipe_.train.batch_size, seed, epoch, recipe_.train.shuffle);
      epoch_ = epoch;
    }
    return gather(train_, order_->rows(step % steps_per_epoch_));
  }

  std::vector<Score> evaluate(SequenceModel& model, Engine& engine) override {
    const RecallScore found = evaluate_recall(model, engine, test_, {.batch = recipe_.train.eval_batch});
    std::vector<Score> scores = kScores;
    scores[0].value = found.all.accuracy();
    scores[1].value = found.all.loss();
    return scores;
  }

  bool ends_run(const std::vector<Score>& scores) const override {
    return recipe_.train.stop_accuracy < 1 && scores[0].value > recipe_.train.stop_accuracy;
  }

  std::string summary() const override {
    return fmt::format("{}: {} training and {} test examples of {} tokens, vocabulary {}", recipe_.data.task,
                       train_.examples, test_.examples, train_.seq_len, train_.vocab_size);
  }

 private:
  static Batch gather(const TaskData& data, std::span<const int64_t> rows) {
    std::vector<int64_t> tokens, labels;
    tokens.reserve(rows.size() * static_cast<size_t>(data.seq_len));
    labels.reserve(rows.size() * static_cast<size_t>(data.seq_len));
    for (int64_t row : rows) {
      const auto begin = static_cast<std::ptrdiff_t>(row * data.seq_len), end = begin + data.seq_len;
      tokens.insert(tokens.end(), data.inputs.begin() + begin, data.inputs.begin() + end);
      labels.insert(labels.end(), data.labels.begin() + begin, data.labels.begin() + end);
    }
    return Batch::of_tokens(static_cast<int64_t>(rows.size()), data.seq_len, std::move(tokens), std::move(labels));
  }

  Recipe recipe_;
  TaskData train_, test_;
  int64_t steps_per_epoch_;
  std::optional<EpochOrder> order_;
  int64_t epoch_ = -1;
};

class TaskSource : public DataSource {
 public:
  std::string_view name() const override { return "a task"; }
  bool is_named_by(const DataRecipe& data) const override { return !data.task.empty(); }

  void resolve(DataRecipe& data) const override {
    data.options = resolve_task_options(data.task, data.options);
    resolve_task_options(data.task, test_options(data));
  }

  DataSizes sizes(const DataRecipe& data) const override {
    const Json test = test_options(data);
    return {.vocabulary = std::max(task_vocabulary(data.task, data.options), task_vocabulary(data.task, test)),
            .train_rows = data.train_examples,
            .train_tokens = data.options.value("seq_len", int64_t{0}),
            .test_rows = data.test_examples,
            .test_tokens = test.value("seq_len", int64_t{0}),
            .has_positions = true};
  }

  std::vector<Score> scores() const override { return kScores; }

  // How the options of a task fit together is known to its generator.
  void check(const DataRecipe& data) const override {
    train_split(data, 1);
    test_split(data, 1);
  }

  std::unique_ptr<TrainingData> open(const Recipe& recipe) const override {
    return std::make_unique<TaskTraining>(recipe);
  }
};

}  // namespace

const DataSource& task_source() {
  static const TaskSource source;
  return source;
}

}  // namespace rebased
