#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/suggest.h"
#include "config/strict_json.h"
#include "io/file.h"
#include "io/safetensors.h"

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

namespace rebased {
namespace {

using Header = nlohmann::json;

constexpr uint64_t kPrefixBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;
constexpr auto kLastDType = DType::kF8E5M2;

const std::vector<std::string>& dtype_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (int i = 0; i <= static_cast<int>(kLastDType); ++i) all.emplace_back(dtype_name(static_cast<DType>(i)));
    return all;
  }();
  return names;
}

Header parse_object(std::string_view text, std::string_view file) {
  try {
    Header object = parse_strict_json<Header>(text, file);
    if (!object.is_object()) throw FormatError("{}: expected a JSON object, found {}", file, object.type_name());
    return object;
  } catch (const ConfigError& error) {
    throw FormatError("{}", error.what());
  }
}

std::map<std::string, std::string> string_map(const Header& object, std::string_view where) {
  if (!object.is_object()) throw FormatError("{}: expected an object of strings, found {}", where, object.type_name());
  std::map<std::string, std::string> strings;
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) throw FormatError("{}: expected a string for '{}', found {}", where, key, json_text(value));
    strings.emplace(key, value.get<std::string>());
  }
  return strings;
}

// One entry of the header: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}.
class Entry {
 public:
  Entry(const Header& entry, std::string where) : entry_(entry), where_(std::move(where)) {
    if (!entry.is_object()) throw FormatError("{}: expected an object, found {}", where_, entry.type_name());
    for (const auto& [key, value] : entry.items()) {
      if (key != "dtype" && key != "shape" && key != "data_offsets")
        throw FormatError("{}: unknown key '{}'", where_, key);
    }
  }

  TensorView view(std::span<const std::byte> data, std::shared_ptr<const void> owner) const {
    const DType type = dtype();
    const Shape extents = shape();
    const auto [begin, end] = offsets();
    if (begin > end || end > data.size()) {
      throw FormatError("{}: data_offsets [{}, {}] do not lie inside the {} bytes of data", where_, begin, end,
                        data.size());
    }
    const int64_t needed = byte_count(extents, type);
    if (end - begin != static_cast<uint64_t>(needed)) {
      throw FormatError("{}: data_offsets [{}, {}] hold {} bytes, but shape {} of {} needs {}", where_, begin, end,
                        end - begin, extents.str(), dtype_name(type), needed);
    }
    return {type, extents, data.subspan(begin, end - begin), std::move(owner)};
  }

 private:
  const Header& field(const char* name) const {
    const auto found = entry_.find(name);
    if (found == entry_.end()) throw FormatError("{}: no '{}'", where_, name);
    return *found;
  }

  DType dtype() const {
    const Header& name = field("dtype");
    if (!name.is_string()) throw FormatError("{}: expected a string as dtype, found {}", where_, json_text(name));
    const auto& names = dtype_names();
    const auto found = std::find(names.begin(), names.end(), name.get_ref<const std::string&>());
    if (found != names.end()) return static_cast<DType>(found - names.begin());
    const auto text = name.get<std::string>();
    throw FormatError("{}: unknown dtype '{}'{}", where_, text, did_you_mean(text, names));
  }

  std::vector<uint64_t> integers(const char* name) const {
    const Header& list = field(name);
    std::vector<uint64_t> numbers;
    if (!list.is_array()) throw FormatError("{}: expected a list as {}, found {}", where_, name, list.type_name());
    for (const Header& item : list) {
      if (!item.is_number_unsigned()) {
        throw FormatError("{}: expected integers from 0 in {}, found {}", where_, name, json_text(item));
      }
      numbers.push_back(item.get<uint64_t>());
    }
    return numbers;
  }

  Shape shape() const {
    const std::vector<uint64_t> numbers = integers("shape");
    if (numbers.size() > static_cast<size_t>(Shape::kMaxRank)) {
      throw FormatError("{}: shape has {} dimensions, at most {} are supported", where_, numbers.size(),
                        int{Shape::kMaxRank});
    }
    std::vector<int64_t> extents;
    for (const uint64_t number : numbers) {
      if (!std::in_range<int64_t>(number)) throw FormatError("{}: extent {} does not fit 63 bits", where_, number);
      extents.push_back(static_cast<int64_t>(number));
    }
    return Shape(extents);
  }

  std::pair<uint64_t, uint64_t> offsets() const {
    const std::vector<uint64_t> numbers = integers("data_offsets");
    if (numbers.size() != 2) throw FormatError("{}: expected 2 data_offsets, found {}", where_, numbers.size());
    return {numbers[0], numbers[1]};
  }

  int64_t byte_count(const Shape& extents, DType type) const {
    int64_t bytes = dtype_size(type);
    for (const int64_t extent : extents) {
      if (__builtin_mul_overflow(bytes, extent, &bytes)) {
        throw FormatError("{}: shape {} overflows 63 bits", where_, extents.str());
      }
    }
    return bytes;
  }

  const Header& entry_;
  std::string where_;
};

std::string_view header_text(std::span<const std::byte> bytes, std::string_view file) {
  if (bytes.size() < kPrefixBytes) {
    throw FormatError("{}: {} bytes are too few for safetensors, which start with {} bytes of header length", file,
                      bytes.size(), uint64_t{kPrefixBytes});
  }
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  const uint64_t most = std::min(kMaxHeaderBytes, bytes.size() - kPrefixBytes);
  if (length > most) {
    throw FormatError("{}: header length {}, expected at most {}; no safetensors, or cut short", file, length, most);
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kPrefixBytes, length);
  if (!text.starts_with('{')) throw FormatError("{}: the header does not start with '{{'", file);
  return text;
}

void check_coverage(const TensorMap& tensors, std::span<const std::byte> data, std::string_view file) {
  std::vector<std::pair<std::span<const std::byte>, std::string_view>> ranges;
  for (const auto& [name, tensor] : tensors) ranges.emplace_back(tensor.data, name);
  std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) {
    return std::pair(a.first.data(), a.first.size()) < std::pair(b.first.data(), b.first.size());
  });
  size_t covered = 0;
  for (const auto& [range, name] : ranges) {
    const auto begin = static_cast<size_t>(range.data() - data.data());
    if (begin != covered) {
      throw FormatError("{}: tensor '{}' starts at byte {} of the data, expected {}: {}", file, name, begin, covered,
                        begin > covered ? "a hole" : "an overlap");
    }
    covered += range.size();
  }
  if (covered != data.size()) {
    throw FormatError("{}: the tensors cover {} of {} bytes of data", file, covered, data.size());
  }
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  return parse(bytes, path, std::move(file));
}

SafetensorsFile SafetensorsFile::parse(std::span<const std::byte> bytes, std::string_view name,
                                       std::shared_ptr<const void> owner) {
  const std::string_view text = header_text(bytes, name);
  const auto data = bytes.subspan(kPrefixBytes + text.size());
  const Header header = parse_object(text, name);
  SafetensorsFile file;
  file.name_ = name;
  for (const auto& [key, value] : header.items()) {
    if (key == "__metadata__") {
      file.metadata_ = string_map(value, fmt::format("{}: __metadata__", name));
    } else {
      const Entry entry(value, fmt::format("{}: tensor '{}'", name, key));
      file.tensors_.emplace(key, entry.view(data, owner));
    }
  }
  check_coverage(file.tensors_, data, name);
  return file;
}

const TensorView* SafetensorsFile::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const TensorView& tensor_at(const TensorMap& tensors, std::string_view name, std::string_view file) {
  const auto found = tensors.find(name);
  if (found != tensors.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, tensor] : tensors) names.push_back(known);
  throw FormatError("{}: no tensor '{}'{}", file, name, did_you_mean(name, names));
}

std::vector<float> read_f32(const TensorView& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.shape.numel()));
  if (!values.empty()) {
    convert_elements(tensor.data.data(), tensor.dtype, values.data(), DType::kF32, tensor.shape.numel());
  }
  return values;
}

void check_file_name(std::string_view file, std::string_view where) {
  const bool plain = !file.empty() && file != "." && file != ".." &&
                     file.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos;
  if (!plain) throw FormatError("{}: expected the plain name of a file, found '{}'", where, file);
}

TensorSource TensorSource::open(const std::string& path) {
  TensorSource source;
  source.path_ = path;
  if (path.ends_with(".json")) {
    source.open_index();
  } else {
    const SafetensorsFile file = SafetensorsFile::open(path);
    source.metadata_ = file.metadata();
    source.tensors_ = file.tensors();
  }
  return source;
}

void TensorSource::open_index() {
  const Header index = parse_object(read_file(path_), path_);
  const auto listed = index.find("weight_map");
  if (listed == index.end()) throw FormatError("{}: no 'weight_map'", path_);
  const auto weight_map = string_map(*listed, path_ + ": weight_map");
  std::map<std::string, SafetensorsFile> shards;
  for (const auto& [tensor, file] : weight_map) {
    if (shards.contains(file)) continue;
    check_file_name(file, fmt::format("{}: tensor '{}'", path_, tensor));
    shards.emplace(file, SafetensorsFile::open(folder_of(path_) + "/" + file));
  }
  for (const auto& [tensor, file] : weight_map) {
    const TensorView* view = shards.at(file).find(tensor);
    if (view == nullptr) throw FormatError("{}: tensor '{}' is not in {}", path_, tensor, file);
    tensors_.emplace(tensor, *view);
  }
  for (const auto& [file, shard] : shards) {
    metadata_.insert(shard.metadata().begin(), shard.metadata().end());
    for (const auto& [tensor, view] : shard.tensors()) {
      const auto entry = weight_map.find(tensor);
      if (entry == weight_map.end() || entry->second != file) {
        throw FormatError("{}: tensor '{}' of {} is not listed", path_, tensor, file);
      }
    }
  }
}

const TensorView* TensorSource::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace rebased
