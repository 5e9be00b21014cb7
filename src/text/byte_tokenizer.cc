#include "text/byte_tokenizer.h"

#include "base/error.h"

namespace rebased {

std::vector<int32_t> ByteTokenizer::encode(std::string_view text) const {
  std::vector<int32_t> ids(text.size());
  for (size_t i = 0; i < text.size(); ++i) ids[i] = static_cast<unsigned char>(text[i]);
  return ids;
}

std::string ByteTokenizer::decode(std::span<const int32_t> ids) const {
  std::string bytes;
  bytes.reserve(ids.size());
  for (int32_t id : ids) {
    if (id < 0 || id >= vocab_size()) throw FormatError("byte tokenizer: id {} is outside [0, {})", id, vocab_size());
    if (id < 256) bytes.push_back(static_cast<char>(id));
  }
  return bytes;
}

std::optional<int32_t> ByteTokenizer::end_of_text() const {
  return options_.end_of_text ? std::optional(kEndOfText) : std::nullopt;
}

Json ByteTokenizer::to_json() const { return {{"version", "1.0"}, {"model", options_to_json(options_)}}; }

}  // namespace rebased
