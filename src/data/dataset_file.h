#pragma once

#include <cstdint>
#include <string>

#include "config/options.h"
#include "data/task.h"

namespace rebased {

// A data set and what it was made from.
struct Dataset {
  TaskData data;
  std::string task;  // its name in the registry
  Json options = Json::object();
  uint64_t seed = 0;
};

// A safetensors file with tensors "inputs" and "labels", int64 [examples, seq_len], and the metadata format
// "rebased.dataset.1", task, options (JSON), seed and vocab_size. Written whole or not at all. Throws IoError.
void write_dataset(const std::string& path, const Dataset& dataset);

// Throws IoError, or FormatError for a file that is no such data set or holds ids outside of its vocabulary.
Dataset read_dataset(const std::string& path);

}  // namespace rebased
