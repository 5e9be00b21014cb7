#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/safetensors.h"
#include "kernels/packed_linear.h"

namespace rebased {

// Packed matrices in the tensors of a model (docs/checkpoint-format.md): the bytes that the kernels read, in place.

std::string_view packing_name(kernels::Packing packing);  // "bf16", "int8" or "int4"
std::optional<kernels::Packing> packing_named(std::string_view name);

// What a model's metadata say of its matrices: nothing when they are whole. Throws FormatError for a packing that is
// not known; `file` opens its message.
std::optional<kernels::Packing> packing_in(const std::map<std::string, std::string>& metadata, std::string_view file);
std::map<std::string, std::string> packing_metadata(kernels::Packing packing);

// Throws FormatError when the matrices are int8 as written before they lay in tiles: signed bytes, row by row.
void refuse_older_layout(kernels::Packing packing, const TensorMap& tensors, std::string_view file);

// The tensors that hold the matrix `name` of this shape: its numbers, then its scales where it has any; without data.
std::vector<TensorToWrite> packed_tensors(kernels::Packing packing, const std::string& name, const Shape& shape);

// A matrix whose tensors are as packed_tensors says, and what keeps their memory.
struct MappedMatrix {
  kernels::PackedMatrix matrix;
  std::shared_ptr<const void> owner;
};
MappedMatrix mapped_matrix(kernels::Packing packing, const std::string& name, const Shape& shape,
                           const TensorMap& tensors);

// Whether its weights are: those of kBF16 themselves, else the scales, which all others are multiples of.
bool all_finite(const kernels::PackedMatrix& matrix);

}  // namespace rebased
