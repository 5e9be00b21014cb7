#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "engine/engine.h"
#include "nn/sequence_model.h"
#include "record/metrics.h"
#include "record/progress.h"
#include "record/run_folder.h"
#include "record/tensorboard.h"
#include "train/checkpoint.h"
#include "train/optimizer.h"
#include "train/recipe.h"
#include "train/training_data.h"

namespace rebased {

// How a run came to its end.
enum class TrainEnd { kFinished, kInterrupted };

// Trains one recipe in its run folder. A run that was cut short anywhere goes on from its newest checkpoint to the same
// bits as one that was not: batches and dropout are functions of (recipe, step).
class Trainer {
 public:
  // engine: has autograd; the model's values lie there.
  // folder: where run() keeps records and checkpoints; none when enter() says so later, or run() is never called.
  // stop: becomes true when the user asks to end (Ctrl-C); the step in hand is finished and saved.
  Trainer(const Recipe& recipe, std::unique_ptr<Engine> engine, std::optional<RunFolder> folder,
          const std::atomic<bool>& stop);

  void enter(RunFolder folder) { folder_ = std::move(folder); }

  // Continues from the newest complete checkpoint; returns its step, 0 when there is none. One that cannot be read is
  // passed over with a warning; when none can, throws what the newest one said. The best evaluation so far is that of
  // RUN/model, which a killed process may have saved after its last checkpoint.
  int64_t resume();
  // Keeps the model of the best evaluation in RUN/model, and at its end leaves that of the last one in RUN/last. Throws
  // NotFiniteError when a loss, a gradient, a score or what a checkpoint or model would hold is not finite.
  TrainEnd run(Progress& progress);

  // A line for people: above the progress bar and into the run's log.txt.
  void say(Progress& progress, const std::string& line) const;

  SequenceModel& model() { return *model_; }
  TrainingData& data() { return *data_; }
  Engine& engine() { return *engine_; }
  const TrainerState& state() const { return state_; }
  Evaluation best() const { return judged(state_.best_step, state_.best); }  // by the score that the run is judged by
  int64_t total_steps() const;

  // Forward and backward of one batch without an update; returns the loss.
  double accumulate(const Batch& batch, int64_t step);

  // One step of the optimiser, nothing recorded. The norm is 0 where neither the recipe nor `with_norm` asks for it.
  // Throws NotFiniteError, before anything is updated, when loss or norm are not finite.
  struct Step {
    double loss, grad_norm;
  };
  Step step(int64_t step, bool with_norm = false);

  // Throws NotFiniteError naming a parameter or moment that `updates` of them left infinite or NaN.
  void require_finite(int64_t updates);

 private:
  double train_step(int64_t step);
  double lr_of(int64_t step) const;
  double clip_scale(double norm) const;
  int64_t eval_interval() const;
  bool evaluate(Progress& progress);
  void log_step(int64_t step, double loss, double norm);
  void log_statistics(int64_t step);
  void checkpoint();
  void open_records();
  std::vector<Score> evaluation();
  Evaluation judged(int64_t step, double value) const;
  int64_t load_newest();
  void take_best();
  void save_best();
  std::string first_not_finite();
  [[noreturn]] void stop_for_not_finite(int64_t updates, const std::string& what);
  double epoch_of(int64_t step) const;

  Recipe recipe_;
  std::optional<RunFolder> folder_;
  const std::atomic<bool>& stop_;
  std::unique_ptr<Engine> engine_;  // outlives every value
  std::unique_ptr<TrainingData> data_;
  const Score judge_;  // without a value
  const int64_t steps_per_epoch_;
  std::unique_ptr<SequenceModel> model_;
  AdamW optimizer_;
  std::map<std::string, double> loss_parts_;  // of the newest step
  TrainerState state_;
  int64_t checkpointed_ = -1;
  std::optional<MetricsWriter> metrics_;
  std::optional<EventWriter> events_;
};

// The engine of this program's own kernels, with what the recipe asks of it, and every thread that it asks for. Throws
// ConfigError where its device is not "cpu".
std::unique_ptr<Engine> make_tape_engine(const Recipe& recipe);
Precision precision_of(const Recipe& recipe);
void apply_threads(const Recipe& recipe);  // the recipe's, or every core

// Rows of one pass when the recipe leaves it open: about kTokensPerPass tokens, which keeps activations near the cache.
int64_t micro_batch_rows(const Recipe& recipe, int64_t T);

}  // namespace rebased
