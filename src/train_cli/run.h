#pragma once

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
  bool finished = false;  // false: interrupted, its checkpoint saved
  bool is_text = false;
  double best = 0;      // test accuracy or bits per byte
  double baseline = 0;  // bits per byte that text has to beat; 0: none
  int64_t steps = 0;
  int64_t parameters = 0;
  int64_t state_bytes = 0;  // of the real state object, one row after the tokens of an example
  double seconds = 0;
  double examples_per_second = 0;
  ReportRun report;
};

// Trains in the folder; with `resume` from its newest checkpoint, and not at all when the run has finished already.
RunOutcome train_run(const Recipe& recipe, std::unique_ptr<Engine> engine, const RunFolder& folder, bool resume);

// One row a run: accuracy or bits per byte, parameters, state, speed, time.
Table outcome_table(const std::vector<RunOutcome>& outcomes);

}  // namespace rebased
