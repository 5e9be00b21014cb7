#include "store/state.h"

#include <numeric>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/vocabulary.h"

namespace rebased {

void MixerState::add(Engine& engine, std::string name, const Shape& shape, DType dtype, double fresh) {
  arrays_.push_back({std::move(name), engine.full(shape, dtype, fresh), fresh});
}

Value& MixerState::operator[](std::string_view name) {
  for (Array& array : arrays_) {
    if (array.name == name) return array.value;
  }
  throw ShapeError("the state has no array {}", name);
}

MixerState MixerState::clone() const {
  MixerState result = *this;
  for (Array& array : result.arrays_) array.value = copy(array.value);
  return result;
}

MixerState MixerState::select(std::span<const int64_t> rows) const {
  MixerState result = *this;
  result.positions.clear();
  for (int64_t row : rows) {
    if (row < 0 || row >= batch()) throw ShapeError("state row {} of {} does not exist", row, batch());
    result.positions.push_back(positions[static_cast<size_t>(row)]);
  }
  for (Array& array : result.arrays_) array.value = select_rows(array.value, rows);
  return result;
}

// The fresh row stands behind the present ones while rows are selected.
void MixerState::reset_rows(std::span<const int64_t> rows) {
  std::vector<int64_t> source(positions.size());
  std::iota(source.begin(), source.end(), 0);
  for (int64_t row : rows) {
    if (row < 0 || row >= batch()) throw ShapeError("state row {} of {} does not exist", row, batch());
    source[static_cast<size_t>(row)] = batch();
  }
  for (int64_t row : rows) positions[static_cast<size_t>(row)] = 0;
  for (Array& array : arrays_) {
    const Value fresh = array.value.engine().full(array.value.shape().with(0, 1), array.value.dtype(), array.fresh);
    const Value both[] = {array.value, fresh};
    array.value = select_rows(concat(both, 0), source);
  }
}

void MixerState::detach() {
  for (Array& array : arrays_) array.value = rebased::detach(array.value);
}

int64_t MixerState::bytes() const {
  int64_t total = 0;
  for (const Array& array : arrays_) total += array.value.shape().numel() * dtype_size(array.value.dtype());
  return total;
}

}  // namespace rebased
