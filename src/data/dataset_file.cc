#include "data/dataset_file.h"

#include <charconv>
#include <cstring>
#include <map>

#include "base/error.h"
#include "config/document.h"
#include "io/safetensors.h"

namespace rebased {
namespace {

constexpr auto kFormat = "rebased.dataset.1";

using Metadata = std::map<std::string, std::string>;

const std::string& entry(const Metadata& metadata, const std::string& key, const std::string& path) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) throw FormatError("{}: metadata '{}' is missing: this is no data set", path, key);
  return found->second;
}

template <class Integer>
Integer integer_entry(const Metadata& metadata, const std::string& key, const std::string& path) {
  const std::string& text = entry(metadata, key, path);
  Integer value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw FormatError("{}: metadata '{}' must be an integer that fits, found '{}'", path, key, text);
  }
  return value;
}

std::vector<int32_t> read_ids(const SafetensorsFile& file, const char* name, const TaskData& data, bool labels,
                              const std::string& path) {
  const TensorView& tensor = file.at(name);
  const Shape expected{data.examples, data.seq_len};
  if (tensor.dtype != DType::kI64 || !(tensor.shape == expected)) {
    throw FormatError("{}: {} must be I64 {}, found {} {}", path, name, expected.str(), dtype_name(tensor.dtype),
                      tensor.shape.str());
  }
  std::vector<int32_t> ids(static_cast<size_t>(expected.numel()));
  for (size_t i = 0; i < ids.size(); ++i) {
    int64_t id;
    std::memcpy(&id, tensor.data.data() + i * sizeof(id), sizeof(id));
    const bool in_vocabulary = id >= 0 && id < data.vocab_size;
    if (!in_vocabulary && !(labels && id == kIgnoreLabel)) {
      throw FormatError("{}: {} holds the id {} outside [0, {})", path, name, id, data.vocab_size);
    }
    ids[i] = static_cast<int32_t>(id);
  }
  return ids;
}

}  // namespace

void write_dataset(const std::string& path, const Dataset& dataset) {
  const TaskData& data = dataset.data;
  const std::vector<int64_t> inputs(data.inputs.begin(), data.inputs.end());
  const std::vector<int64_t> labels(data.labels.begin(), data.labels.end());
  const Shape shape{data.examples, data.seq_len};
  const TensorToWrite tensors[] = {{"inputs", DType::kI64, shape, inputs.data()},
                                   {"labels", DType::kI64, shape, labels.data()}};
  write_safetensors(path, tensors,
                    {{"format", kFormat},
                     {"task", dataset.task},
                     {"options", dataset.options.dump()},
                     {"seed", std::to_string(dataset.seed)},
                     {"vocab_size", std::to_string(data.vocab_size)}});
}

Dataset read_dataset(const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  const Metadata& metadata = file.metadata();
  if (entry(metadata, "format", path) != kFormat) {
    throw FormatError("{}: metadata 'format' must be '{}', found '{}'", path, kFormat, metadata.at("format"));
  }
  Dataset dataset;
  dataset.task = entry(metadata, "task", path);
  try {
    dataset.options = parse_json(entry(metadata, "options", path), path + ": metadata 'options'");
  } catch (const ConfigError& error) {
    throw FormatError(error.what());
  }
  dataset.seed = integer_entry<uint64_t>(metadata, "seed", path);
  TaskData& data = dataset.data;
  data.vocab_size = integer_entry<int32_t>(metadata, "vocab_size", path);
  const Shape& shape = file.at("inputs").shape;
  if (shape.rank() != 2) throw FormatError("{}: inputs must be [examples, seq_len], found {}", path, shape.str());
  data.examples = shape[0];
  data.seq_len = shape[1];
  data.inputs = read_ids(file, "inputs", data, false, path);
  data.labels = read_ids(file, "labels", data, true, path);
  return dataset;
}

}  // namespace rebased
