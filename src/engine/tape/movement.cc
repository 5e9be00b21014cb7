// Gradients of the operations that move elements without arithmetic.

#include <utility>
#include <vector>

#include "engine/cpu/cpu_value.h"
#include "engine/cpu/kernels_by_type.h"
#include "engine/tape/recording_engine.h"

namespace rebased {

template <class Real>
Value RecordingEngine<Real>::reshape(const Value& x, const Shape& shape) {
  return recorded(Host::reshape(x, shape), {x}, [&] {
    return [this, from = x.shape()](Slopes& slopes) {
      const Value dy = std::move(slopes.of());
      slopes.give(0, Host::reshape(dy, from));
    };
  });
}

template <class Real>
Value RecordingEngine<Real>::transpose(const Value& x) {
  return recorded(Host::transpose(x), {x},
                  [&] { return [this](Slopes& slopes) { slopes.give(0, Host::transpose(slopes.of())); }; });
}

template <class Real>
Value RecordingEngine<Real>::slice(const Value& x, int dim, int64_t begin, int64_t length) {
  return recorded(Host::slice(x, dim, begin, length), {x}, [&] {
    return [this, dim, begin, from = x.shape()](Slopes& slopes) {
      const Value& dy = slopes.of();
      const Value parts[] = {zeros(from.with(dim, begin)), dy, zeros(from.with(dim, from[dim] - begin - dy.size(dim)))};
      slopes.give(0, Host::concat(parts, dim));
    };
  });
}

template <class Real>
std::vector<Value> RecordingEngine<Real>::split(const Value& x, int dim, std::span<const int64_t> lengths) {
  std::vector<Value> parts = Host::split(x, dim, lengths);
  std::vector<TapeNode::Edge> inputs = edges({x});
  if (inputs.empty()) return parts;
  std::vector<Value*> outputs;
  std::vector<Shape> shapes;
  for (Value& part : parts) {
    outputs.push_back(&part);
    shapes.push_back(part.shape());
  }
  record(std::move(inputs), outputs, [this, dim, shapes = std::move(shapes)](Slopes& slopes) {
    std::vector<Value> all;
    for (size_t i = 0; i < shapes.size(); ++i) {
      Value& dy = slopes.of(static_cast<int>(i));
      all.push_back(dy ? std::move(dy) : zeros(shapes[i]));
    }
    slopes.give(0, Host::concat(all, dim));
  });
  return parts;
}

template <class Real>
Value RecordingEngine<Real>::concat(std::span<const Value> parts, int dim) {
  Value y = Host::concat(parts, dim);
  std::vector<TapeNode::Edge> inputs = edges(parts);
  if (inputs.empty()) return y;
  std::vector<int64_t> lengths;
  for (const Value& part : parts) lengths.push_back(part.size(dim));
  Value* outputs[] = {&y};
  record(std::move(inputs), outputs, [this, dim, lengths = std::move(lengths)](Slopes& slopes) {
    int64_t begin = 0;
    for (size_t i = 0; i < lengths.size(); ++i) {
      const int input = static_cast<int>(i);
      if (slopes.wanted(input)) slopes.give(input, Host::slice(slopes.of(), dim, begin, lengths[i]));
      begin += lengths[i];
    }
  });
  return y;
}

// dy's rows go back to rows of an array of `shape`, added up where one was taken repeatedly.
template <class Real>
void RecordingEngine<Real>::give_rows(Slopes& slopes, std::span<const int64_t> taken, const Shape& shape, int input) {
  Value sum = slopes.sum_so_far(input);
  const bool joins = static_cast<bool>(sum);
  if (!joins) sum = zeros(shape);
  const int64_t V = shape[0], N = static_cast<int64_t>(taken.size());
  const int64_t C = V > 0 ? shape.numel() / V : 0;
  kernels::by_type::add_to_rows(N, C, V, taken.data(), reals<Real>(slopes.of()), mutable_reals<Real>(sum));
  if (!joins) slopes.give(input, std::move(sum));
}

template <class Real>
Value RecordingEngine<Real>::select_rows(const Value& x, std::span<const int64_t> taken) {
  return recorded(Host::select_rows(x, taken), {x}, [&] {
    return [this, rows = std::vector<int64_t>(taken.begin(), taken.end()), from = x.shape()](Slopes& slopes) {
      give_rows(slopes, rows, from, 0);
    };
  });
}

template <class Real>
Value RecordingEngine<Real>::embedding(const Value& id_values, const Value& table) {
  return recorded(Host::embedding(id_values, table), {table}, [&] {
    return [this, id_values, from = table.shape()](Slopes& slopes) {
      give_rows(slopes, {ids(id_values), static_cast<size_t>(id_values.shape().numel())}, from, 0);
    };
  });
}

template <class Real>
Value RecordingEngine<Real>::write_time(Value&& cache, const Value& x, int64_t at) {
  std::vector<TapeNode::Edge> inputs = edges({cache, x});
  Value y = Host::write_time(std::move(cache), x, at);
  if (inputs.empty()) return y;
  Value* outputs[] = {&y};
  record(std::move(inputs), outputs, [this, at, written = x.shape()](Slopes& slopes) {
    Value dy = std::move(slopes.of());
    if (slopes.wanted(1)) slopes.give(1, Host::slice(dy, 1, at, written[1]));
    if (slopes.wanted(0)) slopes.give(0, Host::write_time(std::move(dy), zeros(written), at));
  });
  return y;
}

template <class Real>
Value RecordingEngine<Real>::copy(const Value& x) {
  return recorded(Host::copy(x), {x}, [&] { return [](Slopes& slopes) { slopes.give(0, std::move(slopes.of())); }; });
}

template class RecordingEngine<float>;
template class RecordingEngine<double>;

}  // namespace rebased
