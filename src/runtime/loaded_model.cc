#include "runtime/loaded_model.h"

#include <filesystem>

#include "base/error.h"
#include "config/document.h"
#include "io/file.h"
#include "io/model_folder.h"

namespace rebased {
namespace {

std::unique_ptr<Tokenizer> read_tokenizer(const std::string& file) {
  std::error_code unknown;
  if (!std::filesystem::exists(file, unknown)) return nullptr;
  return tokenizer_from_json(parse_json(read_file(file), file), file);
}

}  // namespace

std::unique_ptr<LoadedModel> LoadedModel::open(const std::string& path, std::optional<CpuEngine::Packing> weights) {
  const ModelFolder folder = open_model_folder(path);
  auto engine = std::make_unique<CpuEngine>(weights);
  auto model = std::make_unique<LanguageModel>(model_config_from_json(folder.config, path + "/config.json"));
  model->parameters().load(*engine, folder.tensors.tensors(), path);
  return std::make_unique<LoadedModel>(path, std::move(engine), std::move(model),
                                       read_tokenizer(path + "/tokenizer.json"));
}

LoadedModel::LoadedModel(std::string path, std::unique_ptr<CpuEngine> engine, std::unique_ptr<LanguageModel> model,
                         std::unique_ptr<Tokenizer> tokenizer)
    : path_(std::move(path)), engine_(std::move(engine)), model_(std::move(model)), tokenizer_(std::move(tokenizer)) {
  const int64_t vocab_size = model_->config().vocab_size;
  if (tokenizer_ != nullptr && tokenizer_->vocab_size() > vocab_size) {
    throw ConfigError("{}/tokenizer.json: its {} ids do not fit the model's vocabulary of {}", path_,
                      tokenizer_->vocab_size(), vocab_size);
  }
}

const Tokenizer& LoadedModel::text_tokenizer() const {
  if (tokenizer_ == nullptr) throw ConfigError("{}: the model has no tokenizer.json and so does not read text", path_);
  return *tokenizer_;
}

std::optional<CpuEngine::Packing> packing_of(const std::string& name) {
  using Packing = CpuEngine::Packing;
  if (name == "f32") return std::nullopt;
  if (name == "bf16") return Packing::kBF16;
  if (name == "int8") return Packing::kI8;
  if (name == "int4") return Packing::kI4;
  throw ConfigError("weights: expected one of f32, bf16, int8, int4, found '{}'", name);
}

}  // namespace rebased
