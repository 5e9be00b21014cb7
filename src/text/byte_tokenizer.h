#pragma once

#include "text/tokenizer.h"

namespace rebased {

struct ByteTokenizerOptions {
  std::string type = "byte";
  bool end_of_text = true;
  template <class V>
  void visit(V& v) {
    v("type", type, "kind of tokenizer", one_of({"byte"}));
    v("end_of_text", end_of_text, "whether id 256 ends a text");
  }
};

// Ids 0 ... 255 are the bytes of the text; 256, when wanted, is the end of text.
class ByteTokenizer : public Tokenizer {
 public:
  static constexpr int32_t kEndOfText = 256;

  explicit ByteTokenizer(ByteTokenizerOptions options = {}) : options_(std::move(options)) {}
  std::string name() const override { return "byte"; }
  int64_t vocab_size() const override { return options_.end_of_text ? 257 : 256; }
  std::vector<int32_t> encode(std::string_view text) const override;
  std::string decode(std::span<const int32_t> ids) const override;
  std::optional<int32_t> end_of_text() const override;
  Json to_json() const override;

 private:
  ByteTokenizerOptions options_;
};

}  // namespace rebased
