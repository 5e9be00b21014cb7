#include "io/safetensors.h"

#include <cstdint>
#include <cstdlib>

#include "base/error.h"

// Any bytes are refused with FormatError, or give views that cover the data exactly.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace rebased;
  try {
    const auto file = SafetensorsFile::parse(std::as_bytes(std::span(data, size)), "fuzz");
    size_t total = 0;
    for (const auto& [name, tensor] : file.tensors()) {
      if (&file.at(name) != &tensor) std::abort();
      if (static_cast<int64_t>(tensor.data.size()) != tensor.shape.numel() * dtype_size(tensor.dtype)) std::abort();
      total += tensor.data.size();
      if (dtype_size(tensor.dtype) > 1 && read_f32(tensor).size() != static_cast<size_t>(tensor.shape.numel()))
        std::abort();
    }
    if (total > size) std::abort();
  } catch (const FormatError&) {
  }
  return 0;
}
