#include "runtime/convert.h"

#include <filesystem>
#include <vector>

#include "base/error.h"
#include "engine/cpu/cpu_value.h"
#include "io/file.h"
#include "io/model_folder.h"
#include "runtime/loaded_model.h"
#include "store/packed_tensors.h"

namespace rebased {
namespace {

void add_tensors(const Param& param, std::vector<TensorToWrite>& tensors) {
  const kernels::PackedMatrix* matrix = packed(param.value);
  if (matrix == nullptr) {
    tensors.push_back({param.spec.name, DType::kF32, param.spec.shape, floats(param.value)});
    return;
  }
  std::vector<TensorToWrite> parts = packed_tensors(matrix->packing, param.spec.name, param.spec.shape);
  parts.front().data = matrix->data;
  parts.back().data = parts.size() > 1 ? matrix->scales : matrix->data;
  tensors.insert(tensors.end(), parts.begin(), parts.end());
}

}  // namespace

void convert_model(const std::string& from, const std::string& weights, const std::string& to) {
  const std::optional<kernels::Packing> packing = packing_named(weights);
  if (!packing) throw ConfigError("weights: expected one of bf16, int8, int4, found '{}'", weights);
  std::error_code unknown;
  if (std::filesystem::equivalent(from, to, unknown)) {
    throw ConfigError("{}: expected another folder than that of the model", to);
  }
  if (is_checkpoint(to)) {
    throw ConfigError("{}: expected a place for a model, found a checkpoint, whose run could not go on from it", to);
  }
  const auto model = LoadedModel::open(from, weights);
  ModelFolderWriter writer(to);
  std::vector<TensorToWrite> tensors;
  for (const Param& param : model->model().parameters().params()) add_tensors(param, tensors);
  writer.write_config(options_to_json(model->model().config()));
  writer.write_tensors(tensors, packing_metadata(*packing));
  if (model->tokenizer() != nullptr) writer.write_file("tokenizer.json", read_file(from + "/tokenizer.json"));
  writer.commit();
}

}  // namespace rebased
