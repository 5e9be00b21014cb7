// Gradients of the operations that move elements without arithmetic.

#include <utility>
#include <vector>

#include "engine/cpu/cpu_value.h"
#include "engine/tape/tape_engine.h"
#include "kernels/dense_grad.h"

namespace rebased {

Value TapeEngine::reshape(const Value& x, const Shape& shape) {
  return recorded(CpuEngine::reshape(x, shape), {x}, [&] {
    return [this, from = x.shape()](Slopes& slopes) {
      const Value dy = std::move(slopes.of());
      slopes.give(0, CpuEngine::reshape(dy, from));
    };
  });
}

Value TapeEngine::transpose(const Value& x) {
  return recorded(CpuEngine::transpose(x), {x},
                  [&] { return [this](Slopes& slopes) { slopes.give(0, CpuEngine::transpose(slopes.of())); }; });
}

Value TapeEngine::slice(const Value& x, int dim, int64_t begin, int64_t length) {
  return recorded(CpuEngine::slice(x, dim, begin, length), {x}, [&] {
    return [this, dim, begin, from = x.shape()](Slopes& slopes) {
      const Value& dy = slopes.of();
      const Value parts[] = {zeros(from.with(dim, begin)), dy, zeros(from.with(dim, from[dim] - begin - dy.size(dim)))};
      slopes.give(0, CpuEngine::concat(parts, dim));
    };
  });
}

std::vector<Value> TapeEngine::split(const Value& x, int dim, std::span<const int64_t> lengths) {
  std::vector<Value> parts = CpuEngine::split(x, dim, lengths);
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
    slopes.give(0, CpuEngine::concat(all, dim));
  });
  return parts;
}

Value TapeEngine::concat(std::span<const Value> parts, int dim) {
  Value y = CpuEngine::concat(parts, dim);
  std::vector<TapeNode::Edge> inputs = edges(parts);
  if (inputs.empty()) return y;
  std::vector<int64_t> lengths;
  for (const Value& part : parts) lengths.push_back(part.size(dim));
  Value* outputs[] = {&y};
  record(std::move(inputs), outputs, [this, dim, lengths = std::move(lengths)](Slopes& slopes) {
    int64_t begin = 0;
    for (size_t i = 0; i < lengths.size(); ++i) {
      const int input = static_cast<int>(i);
      if (slopes.wanted(input)) slopes.give(input, CpuEngine::slice(slopes.of(), dim, begin, lengths[i]));
      begin += lengths[i];
    }
  });
  return y;
}

// dy's rows go back to rows of an array of `shape`, added up where one was taken repeatedly.
void TapeEngine::give_rows(Slopes& slopes, std::span<const int64_t> taken, const Shape& shape, int input) {
  Value sum = slopes.sum_so_far(input);
  const bool joins = static_cast<bool>(sum);
  if (!joins) sum = zeros(shape);
  const int64_t V = shape[0], N = static_cast<int64_t>(taken.size());
  const int64_t C = V > 0 ? shape.numel() / V : 0;
  kernels::cpu::add_to_rows(N, C, V, taken.data(), floats(slopes.of()), mutable_floats(sum));
  if (!joins) slopes.give(input, std::move(sum));
}

Value TapeEngine::select_rows(const Value& x, std::span<const int64_t> taken) {
  return recorded(CpuEngine::select_rows(x, taken), {x}, [&] {
    return [this, rows = std::vector<int64_t>(taken.begin(), taken.end()), from = x.shape()](Slopes& slopes) {
      give_rows(slopes, rows, from, 0);
    };
  });
}

Value TapeEngine::embedding(const Value& id_values, const Value& table) {
  return recorded(CpuEngine::embedding(id_values, table), {table}, [&] {
    return [this, id_values, from = table.shape()](Slopes& slopes) {
      give_rows(slopes, {ids(id_values), static_cast<size_t>(id_values.shape().numel())}, from, 0);
    };
  });
}

Value TapeEngine::write_time(Value&& cache, const Value& x, int64_t at) {
  std::vector<TapeNode::Edge> inputs = edges({cache, x});
  Value y = CpuEngine::write_time(std::move(cache), x, at);
  if (inputs.empty()) return y;
  Value* outputs[] = {&y};
  record(std::move(inputs), outputs, [this, at, written = x.shape()](Slopes& slopes) {
    Value dy = std::move(slopes.of());
    if (slopes.wanted(1)) slopes.give(1, CpuEngine::slice(dy, 1, at, written[1]));
    if (slopes.wanted(0)) slopes.give(0, CpuEngine::write_time(std::move(dy), zeros(written), at));
  });
  return y;
}

Value TapeEngine::copy(const Value& x) {
  return recorded(CpuEngine::copy(x), {x},
                  [&] { return [](Slopes& slopes) { slopes.give(0, std::move(slopes.of())); }; });
}

}  // namespace rebased
