#pragma once

#include "record/run_folder.h"
#include "train/training_data.h"

namespace rebased {

// RUN/data.json, the files that a run learns from. For a run that is not begun it is written; a begun run's is
// compared, as the run goes on to the same weights with the same data only. Throws ConfigError that names the first
// file that differs. A run of an earlier version has none; then it is written.
void record_or_compare_data(const RunFolder& folder, const TrainingData& data);

}  // namespace rebased
