#include "train/checkpoint.h"

#include <deque>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/finite.h"
#include "config/document.h"
#include "engine/engine.h"
#include "io/file.h"
#include "io/model_folder.h"
#include "store/packed_tensors.h"

namespace rebased {
namespace {

// Values on their way to a file: float32 where they lie, or copies.
class Outgoing {
 public:
  void add(const std::string& name, const Value& value) {
    std::span<const float> data = value.engine().host_view(value);
    if (data.empty()) {
      std::vector<float>& copy = kept_.emplace_back(static_cast<size_t>(value.shape().numel()));
      value.engine().to_host(value, copy.data(), DType::kF32);
      data = copy;
    }
    list_.push_back({.name = name, .dtype = DType::kF32, .shape = value.shape(), .data = data.data()});
  }
  std::span<const TensorToWrite> list() const { return list_; }

 private:
  std::deque<std::vector<float>> kept_;
  std::vector<TensorToWrite> list_;
};

void write_model(ModelFolderWriter& writer, SequenceModel& model, const Tokenizer* tokenizer,
                 std::map<std::string, std::string> metadata = {}) {
  Outgoing tensors;
  for (const Param& param : model.parameters().params()) tensors.add(param.spec.name, param.value);
  writer.write_config(options_to_json(model.config()));
  metadata["format"] = "pt";
  writer.write_tensors(tensors.list(), metadata);
  if (tokenizer != nullptr) writer.write_file("tokenizer.json", tokenizer->to_json().dump(2));
}

Value read_value(Engine& engine, const TensorView& from, const Shape& shape, const std::string& name,
                 const std::string& file) {
  if (from.shape != shape) {
    throw FormatError("{}: {}: expected {}, found {}", file, name, shape.str(), from.shape.str());
  }
  const std::vector<float> numbers = read_f32(from);
  if (!all_finite(numbers)) {
    throw FormatError("{}: {}: expected finite numbers, found infinity or NaN", file, name);
  }
  return engine.from_host(numbers.data(), DType::kF32, shape, engine.compute_dtype());
}

}  // namespace

void save_checkpoint(const std::filesystem::path& folder, SequenceModel& model, AdamW& optimizer,
                     const TrainerState& state, const Tokenizer* tokenizer) {
  ModelFolderWriter writer(folder.string(), Place::kOwn);
  write_model(writer, model, tokenizer);
  Outgoing moments;
  for (const AdamW::Slot& slot : optimizer.slots()) {
    moments.add("m." + slot.param->spec.name, slot.m);
    moments.add("v." + slot.param->spec.name, slot.v);
  }
  writer.write_tensors(moments.list(), {}, kOptimizerFile);
  writer.write_file(kTrainerStateFile, options_to_json(state).dump(2));
  writer.commit();
}

TrainerState load_checkpoint(const std::filesystem::path& folder, Engine& engine, SequenceModel& model,
                             AdamW& optimizer) {
  const ModelFolder weights = open_model_folder(folder.string());
  if (const auto packing = packing_in(weights.tensors.metadata(), folder.string())) {
    throw FormatError("{}: expected whole weights to train on, found weights packed as {}", folder.string(),
                      packing_name(*packing));
  }
  for (Param& param : model.parameters().params()) {
    param.value =
        read_value(engine, weights.tensors.at(param.spec.name), param.spec.shape, param.spec.name, folder.string());
  }
  const std::string moments_path = (folder / kOptimizerFile).string(),
                    state_path = (folder / kTrainerStateFile).string();
  const SafetensorsFile moments = SafetensorsFile::open(moments_path);
  for (AdamW::Slot& slot : optimizer.slots()) {
    for (const auto& [prefix, moment] : {std::pair("m.", &slot.m), {"v.", &slot.v}}) {
      const std::string name = prefix + slot.param->spec.name;
      *moment = read_value(engine, moments.at(name), slot.param->spec.shape, name, moments_path);
    }
  }
  const auto state = options_from_json<TrainerState>(parse_json(read_file(state_path), state_path), state_path);
  optimizer.restart(state.step);
  return state;
}

void save_model(const std::filesystem::path& folder, SequenceModel& model, const Tokenizer* tokenizer,
                const Evaluation& evaluation) {
  ModelFolderWriter writer(folder.string(), Place::kOwn);
  write_model(writer, model, tokenizer, evaluation_metadata(evaluation));
  writer.commit();
}

std::optional<Evaluation> saved_evaluation(const std::filesystem::path& folder) {
  try {
    return evaluation_in(open_model_folder(folder.string()).tensors.metadata());
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace rebased
