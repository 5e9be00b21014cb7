#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/shape.h"

namespace rebased {

// A tensor inside a file: row-major, little-endian, not necessarily aligned. A view keeps the file mapped.
struct TensorView {
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const std::byte> data;
  std::shared_ptr<const void> owner;
};

using TensorMap = std::map<std::string, TensorView, std::less<>>;

std::vector<float> read_f32(const TensorView& tensor);  // converted; throws FormatError for 8-bit floats

// The tensor of that name. Throws FormatError that names `file` and the nearest name.
const TensorView& tensor_at(const TensorMap& tensors, std::string_view name, std::string_view file);

// A safetensors file, checked completely before anything is used: header length, JSON without repeated keys, known
// dtypes, shapes that do not overflow and fit their byte ranges, ranges that cover the data without hole or overlap.
// Source: https://github.com/huggingface/safetensors, section "Format".
class SafetensorsFile {
 public:
  static SafetensorsFile open(const std::string& path);  // throws IoError, FormatError

  // The same for bytes in memory, which `owner` keeps alive (null: the caller does). `name` opens every message.
  static SafetensorsFile parse(std::span<const std::byte> bytes, std::string_view name,
                               std::shared_ptr<const void> owner = nullptr);

  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const TensorMap& tensors() const { return tensors_; }
  const TensorView* find(std::string_view name) const;  // null when absent
  const TensorView& at(std::string_view name) const { return tensor_at(tensors_, name, name_); }

 private:
  std::string name_;
  std::map<std::string, std::string> metadata_;
  TensorMap tensors_;
};

struct TensorToWrite {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  const void* data = nullptr;  // shape.numel() elements, row-major; may be null when there are none
};

// Writes the file whole or not at all (AtomicFile). The bytes depend on the arguments alone, not on the order of
// `tensors`; the data start at a multiple
// of 64 bytes and every tensor at one of its element size. Throws FormatError for names that repeat or are not UTF-8,
// ShapeError for negative extents, IoError.
void write_safetensors(const std::string& path, std::span<const TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata = {});

// The tensors of a model: one .safetensors file, or the shards that a model.safetensors.index.json names.
class TensorSource {
 public:
  // Throws IoError for files that are missing, FormatError for bad ones and for an index that does not fit its shards.
  static TensorSource open(const std::string& path);

  const TensorMap& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }  // of every shard together
  const TensorView* find(std::string_view name) const;
  const TensorView& at(std::string_view name) const { return tensor_at(tensors_, name, path_); }

 private:
  void open_index();

  std::string path_;
  std::map<std::string, std::string> metadata_;
  TensorMap tensors_;
};

// Throws FormatError unless `file` is the plain name of a file: no separators, not "." or "..", not empty.
void check_file_name(std::string_view file, std::string_view where);

}  // namespace rebased
