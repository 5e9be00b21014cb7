#include <cstdint>
#include <string_view>

#include "config/document.h"
#include "sample_options.h"

// Any text is refused with ConfigError, or survives being written and read again.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rebased;
  Json document;
  try {
    document = parse_json(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
  } catch (const ConfigError&) {
    return 0;
  }
  require(parse_json(document.dump(), "again") == document);
  check_options(document);
  return 0;
}
