// Any bytes become valid UTF-8 however they are cut, and what a reader has is gone on with.
#include "text/utf8_stream.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

std::string decoded(std::string_view bytes) {
  rebased::Utf8Stream stream;
  const std::string text = stream.feed(bytes);
  return text + stream.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t cut = std::min<size_t>(data[0], bytes.size());
  const std::string_view before = bytes.substr(0, cut), behind = bytes.substr(cut);
  const std::string text = decoded(bytes);
  require(!nlohmann::json(text).dump().empty());  // throws for what is not UTF-8
  rebased::Utf8Stream echo, silent;
  std::string shown = echo.feed(before);
  shown += echo.feed(behind);
  shown += echo.finish();
  require(shown == text);
  silent.pass_over(before);
  std::string rest = silent.feed(behind);
  rest += silent.finish();
  require(decoded(std::string(before) + rest) == text);
  return 0;
}
