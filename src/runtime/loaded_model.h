#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/cpu/cpu_engine.h"
#include "nn/sequence_model.h"
#include "text/tokenizer.h"

namespace rebased {

// A model folder ready to run on the cpu engine: config.json, the tensors, and tokenizer.json where there is one.
// float32 weights and packed matrices are used where they lie in the mapped file. One thread of calls at a time.
class LoadedModel {
 public:
  // Throws IoError, ConfigError or FormatError; each says in one sentence which file does not fit and how.
  // weights: as for packing_of; matrices are packed while they are read. Refused for a folder that is packed already.
  static std::unique_ptr<LoadedModel> open(const std::string& path, const std::optional<std::string>& weights = {});

  // Joins parts made elsewhere; `model` has its parameters on `engine`. tokenizer may be null. Throws ConfigError for a
  // tokenizer with more ids than the model.
  LoadedModel(std::string path, std::unique_ptr<CpuEngine> engine, std::unique_ptr<SequenceModel> model,
              std::unique_ptr<Tokenizer> tokenizer);

  const std::string& path() const { return path_; }
  CpuEngine& engine() { return *engine_; }
  SequenceModel& model() { return *model_; }
  std::optional<CpuEngine::Packing> packing() const;               // of its matrices; nothing: they are whole
  const Tokenizer* tokenizer() const { return tokenizer_.get(); }  // null: the model reads ids, not text
  const Tokenizer& text_tokenizer() const;                         // throws ConfigError when there is none

 private:
  std::string path_;
  std::unique_ptr<CpuEngine> engine_;  // outlives what the model holds on it
  std::unique_ptr<SequenceModel> model_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

// "f32" (nothing), "bf16", "int8" or "int4"; throws ConfigError.
std::optional<CpuEngine::Packing> packing_of(const std::string& name);

}  // namespace rebased
