#include "runtime/state_file.h"

#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "engine/cpu/cpu_engine.h"
#include "nn/mixers/registry.h"

namespace rebased {
namespace {

// A convolution and an attention, whose states have every type and a part that grows.
struct Layers {
  ParameterStore store;
  std::vector<std::unique_ptr<SequenceMixer>> mixers;
  std::vector<const SequenceMixer*> list;

  Layers() {
    add("short_conv", Json::object());
    add("attention", Json{{"num_heads", 2}});
  }
  void add(const char* type, const Json& options) {
    const Scope scope(store, type, 0.02, 0.02);
    mixers.push_back(find_mixer(type, "fuzz").build(options, "fuzz", scope, {.d_model = 4}));
    list.push_back(mixers.back().get());
  }
};

void check(std::span<const std::byte> bytes) {
  static const Layers layers;
  const StateFile file = StateFile::parse(bytes, "fuzz");
  if (file.rows() < 1 || file.begun().bytes.size() > 3) std::abort();
  CpuEngine engine;
  const ModelState state = file.state(engine, layers.list);
  for (const MixerState& layer : state.layers) {
    if (layer.positions != file.positions()) std::abort();
    for (const MixerState::Array& array : layer.arrays()) {
      if (array.value.size(0) != file.rows()) std::abort();
    }
  }
}

// With the checksum that the bytes have, or nothing where that was not the trouble: what lies behind is reached too.
std::string repaired(std::string bytes, const std::string& trouble) {
  constexpr size_t kDigits = 16;
  const size_t expected = trouble.find("checksum "), found = trouble.find("found ");
  if (expected == std::string::npos || found == std::string::npos) return "";
  const std::string wrong = trouble.substr(expected + std::string_view("checksum ").size(), kDigits);
  const size_t at = bytes.find(wrong);
  return at == std::string::npos ? "" : bytes.replace(at, kDigits, trouble.substr(found + 6, kDigits));
}

}  // namespace
}  // namespace rebased

// Any bytes are refused with FormatError, or give a state that the layers can go on with.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rebased;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  for (int attempt = 0; attempt < 2 && !bytes.empty(); ++attempt) {
    try {
      check(std::as_bytes(std::span(bytes)));
      break;
    } catch (const FormatError& error) {
      bytes = repaired(bytes, error.what());
    }
  }
  return 0;
}
