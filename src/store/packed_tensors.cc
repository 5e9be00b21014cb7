#include "store/packed_tensors.h"

#include <array>

#include "base/error.h"
#include "base/finite.h"

namespace rebased {
namespace {

using kernels::Packing;

constexpr const char* kKey = "weights";

struct Named {
  Packing packing;
  std::string_view name;
};
constexpr std::array<Named, 3> kNames = {{{Packing::kBF16, "bf16"}, {Packing::kI8, "int8"}, {Packing::kI4, "int4"}}};

}  // namespace

std::string_view packing_name(Packing packing) {
  for (const Named& row : kNames) {
    if (row.packing == packing) return row.name;
  }
  return "";
}

std::optional<Packing> packing_named(std::string_view name) {
  for (const Named& row : kNames) {
    if (row.name == name) return row.packing;
  }
  return std::nullopt;
}

std::optional<Packing> packing_in(const std::map<std::string, std::string>& metadata, std::string_view file) {
  const auto found = metadata.find(kKey);
  if (found == metadata.end()) return std::nullopt;
  const std::optional<Packing> packing = packing_named(found->second);
  if (!packing) {
    throw FormatError("{}: metadata '{}': expected bf16, int8 or int4, found '{}'", file, kKey, found->second);
  }
  return packing;
}

std::map<std::string, std::string> packing_metadata(Packing packing) {
  return {{"format", "pt"}, {kKey, std::string(packing_name(packing))}};
}

void refuse_older_layout(Packing packing, const TensorMap& tensors, std::string_view file) {
  if (packing != Packing::kI8) return;
  for (const auto& [name, tensor] : tensors) {
    if (!name.ends_with(".packed") || tensor.dtype != DType::kI8) continue;
    throw FormatError("{}: its int8 weights lie row by row, as older versions wrote them: convert the model again",
                      file);
  }
}

std::vector<TensorToWrite> packed_tensors(Packing packing, const std::string& name, const Shape& shape) {
  if (packing == Packing::kBF16) return {{.name = name, .dtype = DType::kBF16, .shape = shape}};
  const std::string numbers = name + ".packed", scales = name + ".scales";
  const int64_t tiles = kernels::packed_tiles(shape[0]), groups = kernels::packed_groups(shape[1]);
  constexpr int64_t kGroupBytes = kernels::kPackedTile * kernels::kPackedGroup;
  if (packing == Packing::kI8) {
    return {{.name = numbers, .dtype = DType::kU8, .shape = Shape({tiles, groups, kGroupBytes})},
            {.name = scales, .dtype = DType::kF32, .shape = Shape({tiles, kernels::kPackedTile})}};
  }
  return {{.name = numbers, .dtype = DType::kU8, .shape = Shape({tiles, groups, kGroupBytes / 2})},
          {.name = scales, .dtype = DType::kBF16, .shape = Shape({tiles, groups, kernels::kPackedTile})}};
}

MappedMatrix mapped_matrix(Packing packing, const std::string& name, const Shape& shape, const TensorMap& tensors) {
  MappedMatrix mapped{{packing, shape[0], shape[1], nullptr, nullptr}, nullptr};
  std::array<std::shared_ptr<const void>, 2> owners;  // shards may differ
  const std::vector<TensorToWrite> parts = packed_tensors(packing, name, shape);
  for (size_t i = 0; i < parts.size(); ++i) {
    const TensorView& tensor = tensors.find(parts[i].name)->second;
    (i == 0 ? mapped.matrix.data : mapped.matrix.scales) = tensor.data.data();
    owners[i] = tensor.owner;
  }
  mapped.owner = std::make_shared<decltype(owners)>(std::move(owners));
  return mapped;
}

bool all_finite(const kernels::PackedMatrix& matrix) {
  const bool bf16 = matrix.packing == Packing::kBF16;
  const void* data = bf16 ? matrix.data : matrix.scales;
  const int64_t bytes =
      (bf16 ? kernels::packed_data_bytes : kernels::packed_scale_bytes)(matrix.packing, matrix.O, matrix.I);
  const auto n = static_cast<size_t>(bytes);
  if (matrix.packing == Packing::kI8) return all_finite({static_cast<const float*>(data), n / sizeof(float)});
  return all_finite_bf16({static_cast<const uint16_t*>(data), n / sizeof(uint16_t)});
}

}  // namespace rebased
