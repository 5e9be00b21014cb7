#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/task.h"

namespace rebased {

struct NamedTask {
  std::string name;
  TaskData data;
};

// How SPECs become data: what they leave open.
struct TaskDefaults {
  int64_t vocab_size = 0;
  int64_t examples = 0;
  uint64_t seed = 0;
};

// The data that one --tasks SPEC means:
//   L=64,K=4           options of mqar, with L, K and V for seq_len, pairs and vocab_size
//   FILE.safetensors   what `rebased prepare` wrote, whatever its task
//   FILE.toml          a list [[tasks]] of tables with options of mqar
// Throws UsageError, ConfigError, IoError or FormatError that names the SPEC.
std::vector<NamedTask> read_tasks(const std::string& spec, const TaskDefaults& defaults);

}  // namespace rebased
