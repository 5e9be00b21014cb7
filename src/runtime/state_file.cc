#include "runtime/state_file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <deque>
#include <set>

#include "base/error.h"
#include "config/limits.h"
#include "engine/engine.h"
#include "io/file.h"
#include "runtime/digest.h"

namespace rebased {
namespace {

using Metadata = std::map<std::string, std::string>;

constexpr const char* kFormat = "rebased-state";
constexpr int64_t kMostPositions = int64_t{1} << 53;  // tokens that a row has seen
constexpr int64_t kLongestBeginning = 3;              // bytes of a character that is not complete

std::string kind_of(DType dtype, const Shape& shape) { return fmt::format("{} {}", dtype_name(dtype), shape.str()); }

std::string checksum_of(Metadata metadata, std::span<const TensorToWrite> tensors) {
  Digest digest;
  metadata.erase("checksum");
  for (const auto& [key, value] : metadata) digest.add("metadata " + key, std::string_view(value));
  for (const TensorToWrite& tensor : tensors) {
    const auto size = static_cast<size_t>(tensor.shape.numel() * dtype_size(tensor.dtype));
    digest.add(fmt::format("tensor {} {}", kind_of(tensor.dtype, tensor.shape), tensor.name),
               {static_cast<const std::byte*>(tensor.data), size});
  }
  return digest.hex();
}

std::string checksum_of(const SafetensorsFile& file) {
  std::vector<TensorToWrite> tensors;
  for (const auto& [name, view] : file.tensors()) tensors.push_back({name, view.dtype, view.shape, view.data.data()});
  return checksum_of(file.metadata(), tensors);
}

// Arrays on their way to a file.
class Outgoing {
 public:
  void add(const std::string& name, DType dtype, const Shape& shape, const void* data) {
    list_.push_back({name, dtype, shape, data});
  }
  void add(const std::string& name, const Value& value) {
    std::vector<std::byte>& copy =
        held_.emplace_back(static_cast<size_t>(value.shape().numel() * dtype_size(value.dtype())));
    value.engine().to_host(value, copy.data(), value.dtype());
    add(name, value.dtype(), value.shape(), copy.data());
  }
  std::span<const TensorToWrite> list() const { return list_; }

 private:
  std::deque<std::vector<std::byte>> held_;
  std::vector<TensorToWrite> list_;
};

std::vector<int64_t> positions_of(const ModelState& state) {
  std::vector<int64_t> positions = state.layers.at(0).positions;
  for (const MixerState& layer : state.layers) {
    if (layer.positions != positions) throw ShapeError("the layers of a state have seen other numbers of tokens");
  }
  return positions;
}

}  // namespace

std::string array_name(size_t layer, std::string_view array) { return fmt::format("layers.{}.{}", layer, array); }

void write_state_file(const std::string& path, const SavedState& saved) {
  const std::vector<int64_t> positions = positions_of(saved.state);
  const auto B = static_cast<int64_t>(positions.size()), V = static_cast<int64_t>(saved.logits.size()) / B;
  Outgoing tensors;
  tensors.add("positions", DType::kI64, Shape({B}), positions.data());
  if (V > 0) tensors.add("logits", DType::kF32, Shape({B, V}), saved.logits.data());
  if (const std::string& bytes = saved.begun.bytes; !bytes.empty())
    tensors.add("begun", DType::kU8, Shape({static_cast<int64_t>(bytes.size())}), bytes.data());
  for (size_t layer = 0; layer < saved.state.layers.size(); ++layer) {
    for (const MixerState::Array& array : saved.state.layers[layer].arrays())
      tensors.add(array_name(layer, array.name), array.value);
  }
  Metadata metadata{{"format", kFormat},
                    {"version", StateFile::kVersion},
                    {"model", saved.model},
                    {"draws", std::to_string(saved.draws)},
                    {"shown", std::to_string(saved.begun.shown)}};
  metadata["checksum"] = checksum_of(metadata, tensors.list());
  write_safetensors(path, tensors.list(), metadata);
}

StateFile StateFile::open(const std::string& path) { return {SafetensorsFile::open(path), path}; }

StateFile StateFile::parse(std::span<const std::byte> bytes, std::string_view name) {
  return {SafetensorsFile::parse(bytes, name), name};
}

StateFile::StateFile(const SafetensorsFile& file, std::string_view path) : path_(path) {
  take_metadata(file.metadata());
  take_tensors(file.tensors());
  const std::string said = file.metadata().at("checksum"), found = checksum_of(file);
  if (said != found) throw FormatError("{}: it is damaged: expected the checksum {}, found {}", path_, said, found);
}

namespace {

bool is_hash(const std::string& text) {
  return text.size() == 16 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// The numbers of a tensor as doubles.
std::vector<double> doubles(const TensorView& tensor) {
  std::vector<double> numbers(static_cast<size_t>(tensor.shape.numel()));
  convert_elements(tensor.data.data(), tensor.dtype, numbers.data(), DType::kF64, tensor.shape.numel());
  return numbers;
}

std::vector<int64_t> integers(const TensorView& tensor) {
  std::vector<int64_t> numbers(static_cast<size_t>(tensor.shape.numel()));
  convert_elements(tensor.data.data(), tensor.dtype, numbers.data(), DType::kI64, tensor.shape.numel());
  return numbers;
}

// "layers.3.k" with a layer that a model can have.
bool is_array_name(std::string_view name) {
  constexpr std::string_view kPrefix = "layers.";
  if (!name.starts_with(kPrefix)) return false;
  name.remove_prefix(kPrefix.size());
  size_t layer = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), layer);
  const auto digits = static_cast<size_t>(end - name.data());
  if (error != std::errc() || layer >= size_t{kMostLayers} || (digits > 1 && name[0] == '0')) return false;
  return name.size() > digits + 1 && name[digits] == '.';
}

}  // namespace

void StateFile::take_metadata(const Metadata& metadata) {
  static const std::set<std::string> known = {"format", "version", "model", "checksum", "draws", "shown"};
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != kFormat) {
    throw FormatError("{}: expected a state file, whose metadata say format {}, found {}", path_, kFormat,
                      format == metadata.end() ? "no format" : "'" + format->second + "'");
  }
  auto value = [&](const char* key) -> const std::string& {
    const auto found = metadata.find(key);
    if (found == metadata.end()) throw FormatError("{}: its metadata have no '{}'", path_, key);
    return found->second;
  };
  if (const std::string& version = value("version"); version != kVersion)
    throw FormatError("{}: expected version {} of state files, found '{}'", path_, kVersion, version);
  for (const char* key : {"model", "checksum"}) {
    if (!is_hash(value(key)))
      throw FormatError("{}: {}: expected 16 hexadecimal digits, found '{}'", path_, key, value(key));
  }
  auto number = [&](const char* key) {
    const std::string& text = value(key);
    uint64_t found = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), found);
    if (text.empty() || error != std::errc() || end != text.data() + text.size())
      throw FormatError("{}: {}: expected a number from 0, found '{}'", path_, key, text);
    return found;
  };
  draws_ = number("draws");
  begun_.shown = number("shown");
  for (const auto& [key, text] : metadata) {
    if (!known.contains(key)) throw FormatError("{}: its metadata have an unknown key '{}'", path_, key);
  }
  model_ = value("model");
}

void StateFile::take_tensors(const TensorMap& tensors) {
  const TensorView& positions = tensor_at(tensors, "positions", path_);
  if (positions.dtype != DType::kI64 || positions.shape.rank() != 1 || positions.shape[0] < 1) {
    throw FormatError("{}: positions: expected I64 of at least one row, found {}", path_,
                      kind_of(positions.dtype, positions.shape));
  }
  positions_ = integers(positions);
  for (const int64_t position : positions_) {
    if (position < 0 || position > kMostPositions)
      throw FormatError("{}: positions: expected 0 to {}, found {}", path_, kMostPositions, position);
  }
  for (const auto& [name, tensor] : tensors) {
    if (name != "positions") take_array(name, tensor);
  }
  if (begun_.shown > begun_.bytes.size())
    throw FormatError("{}: shown: expected at most the {} bytes that have begun, found {}", path_, begun_.bytes.size(),
                      begun_.shown);
}

void StateFile::take_array(const std::string& name, const TensorView& array) {
  const Shape& shape = array.shape;
  if (name == "begun") {
    if (array.dtype != DType::kU8 || shape.rank() != 1 || shape[0] > kLongestBeginning)
      throw FormatError("{}: begun: expected U8 of at most {} bytes, found {}", path_, kLongestBeginning,
                        kind_of(array.dtype, shape));
    begun_.bytes.assign(reinterpret_cast<const char*>(array.data.data()), array.data.size());
    return;
  }
  if (name != "logits" && !is_array_name(name))
    throw FormatError("{}: {} is not the name of an array of a state", path_, name);
  if (shape.rank() == 0 || shape[0] != rows())
    throw FormatError("{}: {}: expected {} rows, found {}", path_, name, rows(), shape.str());
  if (name != "logits") {
    if (dtype_size(array.dtype) < 2 || (!is_floating(array.dtype) && array.dtype != DType::kI64))
      throw FormatError("{}: {}: expected floats or I64, found {}", path_, name, dtype_name(array.dtype));
    arrays_.emplace(name, array);
    return;
  }
  if (array.dtype != DType::kF32 || shape.rank() != 2 || shape[1] < 1)
    throw FormatError("{}: logits: expected F32 [{}, V], found {}", path_, rows(), kind_of(array.dtype, shape));
  logits_ = array;
}

namespace {

// A growing array may be longer than its tokens need: rows that were longer may have gone.
bool lies_between(const Shape& found, const Shape& least, const Shape& most) {
  if (found.rank() != least.rank()) return false;
  for (int i = 0; i < found.rank(); ++i) {
    if (found[i] < least[i] || found[i] > std::max(least[i], most[i])) return false;
  }
  return true;
}

}  // namespace

void StateFile::check_numbers(const std::string& name, const StateArray& array) const {
  const TensorView& tensor = arrays_.find(name)->second;
  if (tensor.dtype != DType::kI64) {
    for (const double number : doubles(tensor)) {
      if (!std::isfinite(number) && number != array.fresh)
        throw FormatError("{}: {}: expected finite numbers, found infinity or NaN", path_, name);
    }
    return;
  }
  const std::vector<int64_t> numbers = integers(tensor);
  for (size_t i = 0; i < numbers.size(); ++i) {
    const size_t row = i / (numbers.size() / positions_.size());
    if (numbers[i] == static_cast<int64_t>(array.fresh)) continue;
    if (numbers[i] < 0 || numbers[i] >= positions_[row])
      throw FormatError("{}: {}: expected positions of the {} tokens that row {} has seen, found {}", path_, name,
                        positions_[row], row, numbers[i]);
  }
}

void StateFile::check_layer(const SequenceMixer& mixer, size_t layer, DType compute) const {
  const int64_t last = *std::max_element(positions_.begin(), positions_.end());
  const int64_t limit = mixer.traits().max_tokens;
  if (limit > 0 && last > limit)
    throw FormatError("{}: layer {} takes at most {} tokens, the state has seen {}", path_, layer, limit, last);
  const std::vector<StateArray> least = mixer.state_arrays(last),
                                most = mixer.state_arrays(std::max(last, kMostTokens));
  for (size_t i = 0; i < least.size(); ++i) {
    const std::string name = array_name(layer, least[i].name);
    const auto found = arrays_.find(name);
    if (found == arrays_.end()) throw FormatError("{}: {} is missing", path_, name);
    const Shape expected = least[i].with_rows(rows());
    const DType dtype = least[i].dtype.value_or(compute);
    if (found->second.dtype != dtype || !lies_between(found->second.shape, expected, most[i].with_rows(rows()))) {
      throw FormatError("{}: {}: expected {}, found {}", path_, name, kind_of(dtype, expected),
                        kind_of(found->second.dtype, found->second.shape));
    }
    check_numbers(name, least[i]);
  }
}

ModelState StateFile::state(Engine& engine, std::span<const SequenceMixer* const> mixers) const {
  for (size_t layer = 0; layer < mixers.size(); ++layer) check_layer(*mixers[layer], layer, engine.compute_dtype());
  std::set<std::string> known;
  ModelState result;
  for (size_t layer = 0; layer < mixers.size(); ++layer) {
    const std::vector<StateArray> arrays = mixers[layer]->state_arrays(0);
    MixerState state(engine, 0, arrays);
    state.positions = positions_;
    for (const StateArray& array : arrays) {
      const std::string name = array_name(layer, array.name);
      const TensorView& tensor = arrays_.find(name)->second;
      state[array.name] = engine.from_host(tensor.data.data(), tensor.dtype, tensor.shape, tensor.dtype);
      known.insert(name);
    }
    result.layers.push_back(std::move(state));
  }
  for (const auto& [name, tensor] : arrays_) {
    if (!known.contains(name)) throw FormatError("{}: {} is not part of the model's state", path_, name);
  }
  return result;
}

}  // namespace rebased
