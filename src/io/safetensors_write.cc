#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/file.h"
#include "io/safetensors.h"

namespace rebased {
namespace {

constexpr size_t kMaxHeaderBytes = 100'000'000;
constexpr size_t kPrefixBytes = 8;
constexpr size_t kAlign = 64;  // the data start on a cache line

int64_t byte_count(const TensorToWrite& tensor) {
  int64_t bytes = dtype_size(tensor.dtype);
  for (const int64_t extent : tensor.shape) {
    if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes)) {
      throw ShapeError("tensor '{}': shape {} cannot be written", tensor.name, tensor.shape.str());
    }
  }
  return bytes;
}

// Wide elements first, so that each tensor starts at a multiple of its element size.
std::vector<const TensorToWrite*> in_file_order(std::span<const TensorToWrite> tensors) {
  std::vector<const TensorToWrite*> order;
  for (const TensorToWrite& tensor : tensors) order.push_back(&tensor);
  std::sort(order.begin(), order.end(), [](const TensorToWrite* a, const TensorToWrite* b) {
    return std::pair(-dtype_size(a->dtype), std::string_view(a->name)) <
           std::pair(-dtype_size(b->dtype), std::string_view(b->name));
  });
  return order;
}

std::string header_bytes(std::span<const TensorToWrite* const> order,
                         const std::map<std::string, std::string>& metadata, std::string_view path) {
  nlohmann::json header = nlohmann::json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const TensorToWrite* tensor : order) {
    if (tensor->name == "__metadata__" || header.contains(tensor->name)) {
      throw FormatError("{}: tensor name '{}' is taken", path, tensor->name);
    }
    const int64_t end = offset + byte_count(*tensor);
    header[tensor->name] = {{"dtype", dtype_name(tensor->dtype)},
                            {"shape", std::vector<int64_t>(tensor->shape.begin(), tensor->shape.end())},
                            {"data_offsets", {offset, end}}};
    offset = end;
  }
  try {
    std::string text = header.dump();
    text.resize((kPrefixBytes + text.size() + kAlign - 1) / kAlign * kAlign - kPrefixBytes, ' ');
    if (text.size() > kMaxHeaderBytes)
      throw FormatError("{}: the header exceeds {} bytes", path, size_t{kMaxHeaderBytes});
    return text;
  } catch (const nlohmann::json::exception&) {
    throw FormatError("{}: names of tensors and metadata must be UTF-8", path);
  }
}

}  // namespace

void write_safetensors(const std::string& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const auto order = in_file_order(tensors);
  const std::string header = header_bytes(order, metadata, path);
  const uint64_t length = header.size();
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const TensorToWrite* tensor : order) {
    file.write({static_cast<const std::byte*>(tensor->data), static_cast<size_t>(byte_count(*tensor))});
  }
  file.commit();
}

}  // namespace rebased
