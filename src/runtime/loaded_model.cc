#include "runtime/loaded_model.h"

#include <filesystem>

#include "base/error.h"
#include "config/document.h"
#include "engine/cpu/cpu_value.h"
#include "io/file.h"
#include "io/model_folder.h"
#include "store/packed_tensors.h"

namespace rebased {
namespace {

std::unique_ptr<Tokenizer> read_tokenizer(const std::string& file) {
  std::error_code unknown;
  if (!std::filesystem::exists(file, unknown)) return nullptr;
  return tokenizer_from_json(parse_json(read_file(file), file), file);
}

// Loading refuses what is not finite in the file; the largest float32 numbers still round to infinity in bfloat16.
void check_packed(const SequenceModel& model, const std::string& path) {
  for (const Param& param : model.parameters().params()) {
    const kernels::PackedMatrix* matrix = packed(param.value);
    if (matrix == nullptr || all_finite(*matrix)) continue;
    throw FormatError("{}: {}: its numbers are too large for {}", path, param.spec.name, packing_name(matrix->packing));
  }
}

}  // namespace

std::unique_ptr<LoadedModel> LoadedModel::open(const std::string& path, const std::optional<std::string>& weights) {
  const std::optional<CpuEngine::Packing> packing = packing_of(weights.value_or("f32"));
  const ModelFolder folder = open_model_folder(path);
  if (const auto held = packing_in(folder.tensors.metadata(), path); held && weights) {
    throw ConfigError("{}: its weights are already packed as {}, so weights {} cannot take effect", path,
                      packing_name(*held), *weights);
  }
  auto engine = std::make_unique<CpuEngine>(packing);
  auto model = std::make_unique<SequenceModel>(model_config_of(folder));
  model->parameters().load(*engine, folder.tensors, path);
  check_packed(*model, path);
  return std::make_unique<LoadedModel>(path, std::move(engine), std::move(model),
                                       read_tokenizer(path + "/tokenizer.json"));
}

LoadedModel::LoadedModel(std::string path, std::unique_ptr<CpuEngine> engine, std::unique_ptr<SequenceModel> model,
                         std::unique_ptr<Tokenizer> tokenizer)
    : path_(std::move(path)), engine_(std::move(engine)), model_(std::move(model)), tokenizer_(std::move(tokenizer)) {
  const int64_t vocab_size = model_->config().vocab_size;
  if (tokenizer_ != nullptr && tokenizer_->vocab_size() > vocab_size) {
    throw ConfigError("{}/tokenizer.json: its {} ids do not fit the model's vocabulary of {}", path_,
                      tokenizer_->vocab_size(), vocab_size);
  }
}

std::optional<CpuEngine::Packing> LoadedModel::packing() const {
  for (const Param& param : model_->parameters().params()) {
    if (const kernels::PackedMatrix* matrix = packed(param.value)) return matrix->packing;
  }
  return std::nullopt;
}

const Tokenizer& LoadedModel::text_tokenizer() const {
  if (tokenizer_ == nullptr) throw ConfigError("{}: the model has no tokenizer.json and so does not read text", path_);
  return *tokenizer_;
}

std::optional<CpuEngine::Packing> packing_of(const std::string& name) {
  if (name == "f32") return std::nullopt;
  if (const auto packing = packing_named(name)) return packing;
  throw ConfigError("weights: expected one of f32, bf16, int8, int4, found '{}'", name);
}

}  // namespace rebased
