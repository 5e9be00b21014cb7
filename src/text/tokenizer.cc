#include "text/tokenizer.h"

#include "base/error.h"
#include "text/byte_tokenizer.h"

namespace rebased {
namespace {

struct TokenizerDocument {
  std::string version = "1.0";
  Json model = Json::object();
  template <class V>
  void visit(V& v) {
    v("version", version, "version of the format", one_of({"1.0"}));
    v("model", model, "an object whose `type` names the tokenizer");
  }
};

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_from_json(const Json& document, std::string_view where) {
  const auto parsed = options_from_json<TokenizerDocument>(document, where);
  return std::make_unique<ByteTokenizer>(
      options_from_json<ByteTokenizerOptions>(parsed.model, fmt::format("{}: model", where)));
}

}  // namespace rebased
