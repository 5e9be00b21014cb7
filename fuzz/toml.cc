#include <cstdint>
#include <string_view>

#include "config/document.h"
#include "sample_options.h"

// Any text is refused with ConfigError, or survives being written and read again. The document is compared with sorted
// keys: writing puts the plain values of a table before its tables.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rebased;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Json document;
  try {
    document = parse_toml(text, "fuzz");
  } catch (const ConfigError&) {
    return 0;
  }
  const nlohmann::json again = parse_toml(to_toml(document), "again");
  require(again == nlohmann::json(document));
  check_options(document);
  try {
    apply_set(document, text);
  } catch (const ConfigError&) {
  }
  return 0;
}
