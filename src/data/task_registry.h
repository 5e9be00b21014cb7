#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/options.h"
#include "data/task.h"

namespace rebased {

// A synthetic task that recipes name. The list is in task_registry.cc.
struct TaskInfo {
  std::string name;
  std::string help;  // one sentence
  std::vector<OptionHelp> options;
};
std::vector<TaskInfo> list_tasks();

// The data of the task `name` with `options`, an object of its options (what it leaves out keeps its default).
// Throws ConfigError for an unknown name ("did you mean"), an unknown key, or sizes that contradict each other.
TaskData generate_task(std::string_view name, const Json& options, int64_t examples, uint64_t seed);

// Ids of its inputs and labels. The options are resolved.
int64_t task_vocabulary(std::string_view name, const Json& options);

// Every option of the task with its value, checked as by generate_task but for how the sizes fit together.
Json resolve_task_options(std::string_view name, const Json& options);

}  // namespace rebased
