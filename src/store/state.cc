#include "store/state.h"

#include <algorithm>
#include <numeric>

#include "base/error.h"
#include "engine/engine.h"
#include "engine/vocabulary.h"

namespace rebased {

Shape StateArray::with_rows(int64_t batch) const {
  std::vector<int64_t> dims = {batch};
  dims.insert(dims.end(), shape.begin(), shape.end());
  return Shape(dims);
}

namespace {

bool may_join(const Value& a, const Value& b) {
  const Shape& shape = a.shape();
  if (a.dtype() != b.dtype() || shape.rank() != b.shape().rank()) return false;
  Shape other = b.shape().with(0, shape[0]);
  if (shape.rank() > 1) other[1] = shape[1];
  return other == shape;
}

void check_joined(const std::vector<MixerState::Array>& first, const std::vector<MixerState::Array>& other) {
  auto alike = [](const MixerState::Array& a, const MixerState::Array& b) {
    return a.name == b.name && a.fresh == b.fresh && may_join(a.value, b.value);
  };
  if (!std::equal(first.begin(), first.end(), other.begin(), other.end(), alike))
    throw ShapeError("states of different mixers cannot be joined");
}

// x [B, S, ...] with fresh elements in front, up to `slots`.
Value lengthened(const Value& x, int64_t slots, double fresh) {
  if (x.size(1) == slots) return x;
  const Value parts[] = {x.engine().full(x.shape().with(1, slots - x.size(1)), x.dtype(), fresh), x};
  return concat(parts, 1);
}

Value joined(std::vector<Value> parts, double fresh) {
  if (parts.front().shape().rank() > 1) {
    int64_t slots = 0;
    for (const Value& part : parts) slots = std::max(slots, part.size(1));
    for (Value& part : parts) part = lengthened(part, slots, fresh);
  }
  return concat(parts, 0);
}

}  // namespace

MixerState::MixerState(Engine& engine, int64_t batch, std::span<const StateArray> arrays)
    : positions(static_cast<size_t>(batch), 0) {
  for (const StateArray& array : arrays) {
    const DType dtype = array.dtype.value_or(engine.compute_dtype());
    arrays_.push_back({array.name, engine.full(array.with_rows(batch), dtype, array.fresh), array.fresh});
  }
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

MixerState MixerState::join(std::span<const MixerState> states) {
  if (states.empty()) throw ShapeError("there is no state to join");
  MixerState result = states.front();
  for (const MixerState& state : states.subspan(1)) {
    check_joined(result.arrays_, state.arrays_);
    result.positions.insert(result.positions.end(), state.positions.begin(), state.positions.end());
  }
  for (size_t i = 0; i < result.arrays_.size(); ++i) {
    std::vector<Value> parts;
    for (const MixerState& state : states) parts.push_back(state.arrays_[i].value);
    result.arrays_[i].value = joined(std::move(parts), result.arrays_[i].fresh);
  }
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
