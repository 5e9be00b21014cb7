#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/cpu/cpu_engine.h"
#include "io/model_folder.h"
#include "nn/sequence_model.h"
#include "text/byte_tokenizer.h"

namespace rebased {

// Two small layers, a short convolution and ReBased; an untied head, so that tests can say what it answers.
inline ModelConfig tiny_config(int64_t vocab_size = 257) {
  return model_config_from_json(
      Json{{"vocab_size", vocab_size},
           {"d_model", 16},
           {"n_layers", 2},
           {"tie_embeddings", false},
           {"init_std", 0.3},
           {"mixers", Json::array({Json{{"type", "base_conv"}},
                                   Json{{"type", "rebased"}, {"num_heads", 2}, {"feature_dim", 4}}})}},
      "tiny model");
}

inline std::unique_ptr<SequenceModel> tiny_model(CpuEngine& engine, const ModelConfig& config = tiny_config()) {
  auto model = std::make_unique<SequenceModel>(config);
  model->parameters().initialise(engine, 7);
  return model;
}

// The head answers `strength` for `id` and 0 for every other, whatever was read: normalised rows add up to 0, and the
// shift of the last norm is 1. With strength 0 every id is equally likely.
inline void answer_always(SequenceModel& model, CpuEngine& engine, int64_t id, float strength) {
  const int64_t V = model.config().vocab_size, C = model.config().d_model;
  std::vector<float> head(static_cast<size_t>(V * C), 0.0f);
  for (int64_t c = 0; c < C; ++c) head[static_cast<size_t>(id * C + c)] = strength / static_cast<float>(C);
  model.parameters().at("lm_head.weight").value =
      engine.from_host(head.data(), DType::kF32, Shape({V, C}), DType::kF32);
  model.parameters().at("ln_f.weight").value = engine.full(Shape({C}), DType::kF32, 1);
  model.parameters().at("ln_f.bias").value = engine.full(Shape({C}), DType::kF32, 1);
}

inline void save_model(const SequenceModel& model, CpuEngine& engine, const std::string& path,
                       bool with_tokenizer = true) {
  std::vector<std::vector<float>> data;
  std::vector<TensorToWrite> tensors;
  for (const Param& param : model.parameters().params()) {
    data.emplace_back(static_cast<size_t>(param.spec.shape.numel()));
    engine.to_host(param.value, data.back().data(), DType::kF32);
    tensors.push_back({param.spec.name, DType::kF32, param.spec.shape, data.back().data()});
  }
  ModelFolderWriter writer(path);
  writer.write_config(options_to_json(model.config()));
  writer.write_tensors(tensors);
  if (with_tokenizer) writer.write_file("tokenizer.json", ByteTokenizer().to_json().dump());
  writer.commit();
}

}  // namespace rebased
