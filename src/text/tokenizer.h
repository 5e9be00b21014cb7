#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/options.h"

namespace rebased {

// Text to ids and back. Ids are [0, vocab_size()). Objects are immutable and may be shared by threads.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string name() const = 0;
  virtual int64_t vocab_size() const = 0;
  virtual std::vector<int32_t> encode(std::string_view text) const = 0;  // never adds an end of text
  // The bytes of the ids, not necessarily whole UTF-8 characters (Utf8Stream makes text of them). The end of text has
  // no bytes. Throws FormatError for an id outside of the vocabulary.
  virtual std::string decode(std::span<const int32_t> ids) const = 0;
  virtual std::optional<int32_t> end_of_text() const = 0;
  virtual Json to_json() const = 0;  // what tokenizer.json of a model folder holds
};

// The tokenizer of a document that to_json made. `where` opens every message. Throws ConfigError.
std::unique_ptr<Tokenizer> tokenizer_from_json(const Json& document, std::string_view where);

}  // namespace rebased
