#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.h"
#include "nn/sequence_model.h"
#include "text/utf8_stream.h"

namespace rebased {

// What is saved of a text that goes on later (docs/checkpoint-format.md, "State files").
struct SavedState {
  std::string model;            // fingerprint of the model that read the tokens (LoadedModel::fingerprint)
  ModelState state{};           // its layers have seen the same numbers of tokens
  std::vector<float> logits{};  // [B, V] of the next token; empty: none
  Utf8Stream::Begun begun{};    // of the text: a character that is not complete
  uint64_t draws = 0;           // random numbers that were drawn
};

// Writes the file whole or not at all. The numbers are those of the state, bit for bit. Throws IoError, and ShapeError
// for layers that disagree about the tokens they have seen.
void write_state_file(const std::string& path, const SavedState& saved);

// A state file, checked as far as it can be without a model: a safetensors file of known names, types and numbers of
// rows, whose checksum holds.
class StateFile {
 public:
  static constexpr const char* kVersion = "1";

  static StateFile open(const std::string& path);  // throws IoError, FormatError
  // The same for bytes in memory, which must outlive the result. `name` opens every message.
  static StateFile parse(std::span<const std::byte> bytes, std::string_view name);

  const std::string& path() const { return path_; }
  const std::string& model() const { return model_; }
  uint64_t draws() const { return draws_; }
  const Utf8Stream::Begun& begun() const { return begun_; }
  const std::vector<int64_t>& positions() const { return positions_; }  // [B]
  int64_t rows() const { return static_cast<int64_t>(positions_.size()); }
  const TensorMap& arrays() const { return arrays_; }                  // "layers.3.k" [B, ...]
  const std::optional<TensorView>& logits() const { return logits_; }  // [B, V]

  // The state on an engine, for layers of these mixers. Throws FormatError for arrays that are not theirs by name,
  // shape or type, for numbers that are no such state's, and for more tokens than a mixer takes.
  ModelState state(Engine& engine, std::span<const SequenceMixer* const> mixers) const;

 private:
  StateFile(const SafetensorsFile& file, std::string_view path);
  void take_metadata(const std::map<std::string, std::string>& metadata);
  void take_tensors(const TensorMap& tensors);
  void take_array(const std::string& name, const TensorView& array);
  void check_layer(const SequenceMixer& mixer, size_t layer, DType compute) const;
  void check_numbers(const std::string& name, const StateArray& array) const;

  std::string path_;
  std::string model_;
  uint64_t draws_ = 0;
  Utf8Stream::Begun begun_;
  std::vector<int64_t> positions_;
  TensorMap arrays_;
  std::optional<TensorView> logits_;
};

std::string array_name(size_t layer, std::string_view array);  // "layers.3.k"

}  // namespace rebased
