#pragma once

#include "record/run_folder.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace rebased {

// Trains in the folder (from its newest checkpoint with `resume`), writes report.html, prints the result to stdout.
// Exit code: 0 when finished, 1 when interrupted (the checkpoint is saved and the way to go on is said).
int train_run(const Recipe& recipe, const RunFolder& folder, bool resume);

// Threads of base, BLAS and torch: the recipe's, or every core.
void apply_threads(const Recipe& recipe);

}  // namespace rebased
