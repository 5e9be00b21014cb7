#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "record/report.h"
#include "record/run_folder.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace rebased {

// What a run came to, for tables and reports.
struct RunOutcome {
  bool finished = false;                                      // false: interrupted, its checkpoint saved, or failed
  std::string failure;                                        // why it failed; empty: it did not
  Score best{};                                               // by the score that it is judged by
  std::vector<std::pair<std::string, std::string>> models{};  // "model" and "last", and what each is of
  std::vector<Baseline> baselines{};
  int64_t steps = 0;
  int64_t parameters = 0;
  int64_t state_bytes = 0;  // of the real state object, one row after the tokens of an example
  double seconds = 0;
  double examples_per_second = 0;
  ReportRun report;
};

// Everything that the recipe asks for. It is built before a new run's folder is made, so that a run that cannot be
// built leaves none.
std::unique_ptr<Trainer> build_trainer(const Recipe& recipe, std::unique_ptr<Engine> engine);

// The recipe of a run as it is written down: with every default, and the same for equal recipes.
std::string resolved_text(const Recipe& recipe);

// Trains in the folder from its newest checkpoint, if it has one, and not at all when the run has finished already.
RunOutcome train_run(const Recipe& recipe, Trainer& trainer, const RunFolder& folder);

// What there is to say of a run that ended with an error.
RunOutcome failed_run(const Recipe& recipe, const std::filesystem::path& root, const std::string& reason);

// One row a run: its best score, parameters, state, speed, time.
Table outcome_table(const std::vector<RunOutcome>& outcomes);

}  // namespace rebased
