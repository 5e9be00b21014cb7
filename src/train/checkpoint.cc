#include "train/checkpoint.h"

#include <deque>

#include "base/error.h"
#include "config/document.h"
#include "engine/packed_tensors.h"
#include "engine/torch/torch_value.h"
#include "io/file.h"
#include "io/model_folder.h"
#include "text/byte_tokenizer.h"

namespace rebased {
namespace {

constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kStateFile = "trainer_state.json";

// Tensors on their way to a file: contiguous float32 copies on the CPU where they are not that already.
class Outgoing {
 public:
  void add(const std::string& name, const torch::Tensor& tensor) {
    kept_.push_back(tensor.detach().to(torch::kCPU, torch::kFloat32).contiguous());
    const torch::Tensor& copy = kept_.back();
    const Shape shape(std::span<const int64_t>(copy.sizes().data(), copy.sizes().size()));
    list_.push_back({.name = name, .dtype = DType::kF32, .shape = shape, .data = copy.data_ptr()});
  }
  std::span<const TensorToWrite> list() const { return list_; }

 private:
  std::deque<torch::Tensor> kept_;
  std::vector<TensorToWrite> list_;
};

void write_model(ModelFolderWriter& writer, LanguageModel& model, bool text_model) {
  Outgoing tensors;
  for (const Param& param : model.parameters().params()) tensors.add(param.spec.name, tensor_of(param.value));
  writer.write_config(options_to_json(model.config()));
  writer.write_tensors(tensors.list(), {{"format", "pt"}});
  if (text_model) writer.write_file("tokenizer.json", ByteTokenizer().to_json().dump(2));
}

void fill(torch::Tensor tensor, const TensorView& from, const std::string& name, const std::string& file) {
  torch::NoGradGuard no_grad;
  const Shape shape(std::span<const int64_t>(tensor.sizes().data(), tensor.sizes().size()));
  if (from.shape != shape) {
    throw FormatError("{}: {}: expected {}, found {}", file, name, shape.str(), from.shape.str());
  }
  const std::vector<float> data = read_f32(from);
  tensor.copy_(torch::from_blob(const_cast<float*>(data.data()), tensor.sizes(), torch::kFloat32));
}

}  // namespace

void save_checkpoint(const std::filesystem::path& folder, LanguageModel& model, AdamW& optimizer,
                     const TrainerState& state, bool text_model) {
  ModelFolderWriter writer(folder.string());
  write_model(writer, model, text_model);
  Outgoing moments;
  for (const AdamW::Slot& slot : optimizer.slots()) {
    moments.add("m." + slot.name, slot.m);
    moments.add("v." + slot.name, slot.v);
  }
  writer.write_tensors(moments.list(), {}, kOptimizerFile);
  writer.write_file(kStateFile, options_to_json(state).dump(2));
  writer.commit();
}

TrainerState load_checkpoint(const std::filesystem::path& folder, LanguageModel& model, AdamW& optimizer) {
  const ModelFolder weights = open_model_folder(folder.string());
  if (const auto packing = packing_in(weights.tensors.metadata(), folder.string())) {
    throw FormatError("{}: expected whole weights to train on, found weights packed as {}", folder.string(),
                      packing_name(*packing));
  }
  for (const Param& param : model.parameters().params()) {
    fill(tensor_of(param.value), weights.tensors.at(param.spec.name), param.spec.name, folder.string());
  }
  const std::string moments_path = (folder / kOptimizerFile).string(), state_path = (folder / kStateFile).string();
  const SafetensorsFile moments = SafetensorsFile::open(moments_path);
  for (AdamW::Slot& slot : optimizer.slots()) {
    fill(slot.m, moments.at("m." + slot.name), "m." + slot.name, moments_path);
    fill(slot.v, moments.at("v." + slot.name), "v." + slot.name, moments_path);
  }
  const auto state = options_from_json<TrainerState>(parse_json(read_file(state_path), state_path), state_path);
  optimizer.set_steps(state.step);
  return state;
}

void save_model(const std::filesystem::path& folder, LanguageModel& model, bool text_model) {
  ModelFolderWriter writer(folder.string());
  write_model(writer, model, text_model);
  writer.commit();
}

}  // namespace rebased
