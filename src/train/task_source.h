#pragma once

#include "train/data_source.h"

namespace rebased {

// Synthetic tasks (data/task_registry.h): judged by the accuracy on a test split.
const DataSource& task_source();

}  // namespace rebased
