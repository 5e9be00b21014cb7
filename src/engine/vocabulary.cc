#include "engine/vocabulary.h"

#include <algorithm>

#include "base/error.h"
#include "engine/engine.h"

namespace rebased {
namespace {

thread_local int64_t products = 0;

void count_product(const Value& x, const Value& w) { products += 2 * x.shape().numel() * w.size(0); }

void check_floating(const char* op, const char* name, const Value& x) {
  if (!x) throw ShapeError("[{}] {}: a value is needed", op, name);
  if (x.dtype() != x.engine().compute_dtype()) {
    throw ShapeError("[{}] {}: expected dtype {}, found {}", op, name, dtype_name(x.engine().compute_dtype()),
                     dtype_name(x.dtype()));
  }
}

void check_ids(const char* op, const char* name, const Value& x) {
  if (!x || x.dtype() != DType::kI64) throw ShapeError("[{}] {}: expected dtype I64", op, name);
}

void check_same_engine(const char* op, const char* name, const Value& x, const Value& other) {
  if (&x.engine() != &other.engine()) {
    throw ShapeError("[{}] {}: lives on engine {}, the other operands on {}", op, name, other.engine().name(),
                     x.engine().name());
  }
}

void check_operand(const char* op, const char* name, const Value& x, const Value& reference) {
  check_floating(op, name, x);
  check_same_engine(op, name, reference, x);
}

void check_rank(const char* op, const char* name, const Value& x, int least) {
  if (x.shape().rank() < least) {
    throw ShapeError("[{}] {}: expected at least {} dimensions, found {}", op, name, least, x.shape().str());
  }
}

// What is summed over: an empty sum has no place in a model, and comes from a size that was rounded to 0.
void check_inner(const char* op, const char* name, int64_t extent) {
  if (extent < 1) throw ShapeError("[{}] {}: expected at least 1, found {}", op, name, extent);
}

void check_dim(const char* op, const Value& x, int dim) {
  if (dim < 0 || dim >= x.shape().rank()) {
    throw ShapeError("[{}] dimension {} of {} does not exist", op, dim, x.shape().str());
  }
}

bool broadcasts(const Shape& a, const Shape& b) {
  if (a == b) return true;
  if (a.rank() >= 1 && b == Shape({a[-1]})) return true;
  return a.rank() >= 1 && a.rank() == b.rank() && b == a.with(-1, 1);
}

void check_binary(const char* op, const Value& a, const Value& b) {
  check_floating(op, "a", a);
  check_operand(op, "b", b, a);
  if (!broadcasts(a.shape(), b.shape())) {
    throw ShapeError("[{}] b: expected {}, its last dimension or a column of it, found {}", op, a.shape().str(),
                     b.shape().str());
  }
}

}  // namespace

Value embedding(const Value& ids, const Value& table) {
  check_ids("embedding", "ids", ids);
  check_operand("embedding", "table", table, ids);
  Dims("embedding").check("table", table.shape(), "V C");
  return ids.engine().embedding(ids, table);
}

Value linear(const Value& x, const Value& w, const Value& bias) {
  check_floating("linear", "x", x);
  check_operand("linear", "w", w, x);
  check_rank("linear", "x", x, 1);
  Dims dims("linear");
  dims.check("x (last dimension)", Shape({x.size(-1)}), "I").check("w", w.shape(), "O I");
  check_inner("linear", "I", dims["I"]);
  if (bias) {
    check_operand("linear", "bias", bias, x);
    dims.check("bias", bias.shape(), "O");
  }
  count_product(x, w);
  return x.engine().linear(x, w, bias);
}

Value add(const Value& a, const Value& b) {
  check_binary("add", a, b);
  return a.engine().add(a, b);
}

Value mul(const Value& a, const Value& b) {
  check_binary("mul", a, b);
  return a.engine().mul(a, b);
}

Value scale_shift(const Value& x, double scale, double shift) {
  check_floating("scale_shift", "x", x);
  return x.engine().scale_shift(x, scale, shift);
}

Value unary(UnaryOp op, const Value& x) {
  check_floating("unary", "x", x);
  return x.engine().unary(op, x);
}

Value sum_last(const Value& x) {
  check_floating("sum_last", "x", x);
  check_rank("sum_last", "x", x, 1);
  check_inner("sum_last", "channels", x.size(-1));
  return x.engine().sum_last(x);
}

Value reshape(const Value& x, const Shape& shape) {
  if (shape.numel() != x.shape().numel()) {
    throw ShapeError("[reshape] {} has {} elements, {} has {}", x.shape().str(), x.shape().numel(), shape.str(),
                     shape.numel());
  }
  return x.engine().reshape(x, shape);
}

Value transpose(const Value& x) {
  check_floating("transpose", "x", x);
  Dims("transpose").check("x", x.shape(), "N M");
  return x.engine().transpose(x);
}

Value slice(const Value& x, int dim, int64_t begin, int64_t length) {
  const int d = dim < 0 ? dim + x.shape().rank() : dim;
  check_dim("slice", x, d);
  if (begin < 0 || length < 0 || begin + length > x.size(d)) {
    throw ShapeError("[slice] {}..{} is outside dimension {} of {}", begin, begin + length, d, x.shape().str());
  }
  return x.engine().slice(x, d, begin, length);
}

std::vector<Value> split(const Value& x, int dim, std::span<const int64_t> lengths) {
  const int d = dim < 0 ? dim + x.shape().rank() : dim;
  check_dim("split", x, d);
  int64_t sum = 0;
  for (int64_t length : lengths) {
    if (length < 0) throw ShapeError("[split] a part of length {}", length);
    sum += length;
  }
  if (sum != x.size(d)) {
    throw ShapeError("[split] parts of {} together for dimension {} of {}", sum, d, x.shape().str());
  }
  return x.engine().split(x, d, lengths);
}

Value concat(std::span<const Value> parts, int dim) {
  if (parts.empty()) throw ShapeError("[concat] nothing to join");
  const Value& first = parts.front();
  const int d = dim < 0 ? dim + first.shape().rank() : dim;
  check_dim("concat", first, d);
  for (const Value& part : parts) {
    check_same_engine("concat", "part", first, part);
    if (part.dtype() != first.dtype() || part.shape().rank() != first.shape().rank() ||
        part.shape().with(d, 0) != first.shape().with(d, 0)) {
      throw ShapeError("[concat] {} and {} do not join along dimension {}", first.shape().str(), part.shape().str(), d);
    }
  }
  return first.engine().concat(parts, d);
}

Value select_rows(const Value& x, std::span<const int64_t> rows) {
  check_rank("select_rows", "x", x, 1);
  for (int64_t row : rows) {
    if (row < 0 || row >= x.size(0))
      throw ShapeError("[select_rows] row {} of {} does not exist", row, x.shape().str());
  }
  return x.engine().select_rows(x, rows);
}

Value write_time(Value&& cache, const Value& x, int64_t at) {
  check_rank("write_time", "cache", cache, 2);
  check_same_engine("write_time", "x", cache, x);
  if (x.dtype() != cache.dtype() || x.shape().rank() != cache.shape().rank() ||
      x.shape().with(1, 0) != cache.shape().with(1, 0) || at < 0 || at + x.size(1) > cache.size(1)) {
    throw ShapeError("[write_time] {} does not fit into {} at slot {}", x.shape().str(), cache.shape().str(), at);
  }
  Engine& engine = cache.engine();
  return engine.write_time(std::move(cache), x, at);
}

CrossEntropy cross_entropy(const Value& x, const Value& e, std::span<const int64_t> labels) {
  check_floating("cross_entropy", "x", x);
  check_operand("cross_entropy", "e", e, x);
  Dims dims("cross_entropy");
  dims.check("x", x.shape(), "N C").check("e", e.shape(), "V C");
  check_inner("cross_entropy", "C", dims["C"]);
  if (static_cast<int64_t>(labels.size()) != dims["N"] || labels.empty()) {
    throw ShapeError("[cross_entropy] labels: expected N={} of them and at least one, found {}", dims["N"],
                     labels.size());
  }
  for (int64_t label : labels) {
    if (label < 0 || label >= dims["V"])
      throw ShapeError("[cross_entropy] label {} is outside the vocabulary of {}", label, dims["V"]);
  }
  count_product(x, e);
  return x.engine().cross_entropy(x, e, labels);
}

int64_t product_operations() { return products; }

Value detach(const Value& x) { return x.engine().detach(x); }
Value copy(const Value& x) { return x.engine().copy(x); }

Value split_heads(const Value& x, int64_t heads) {
  const Dims dims = Dims("split_heads").check("x", x.shape(), "B T C");
  if (heads <= 0 || dims["C"] % heads != 0) {
    throw ShapeError("[split_heads] {} channels cannot be split into {} heads", dims["C"], heads);
  }
  return reshape(x, Shape({dims["B"], dims["T"], heads, dims["C"] / heads}));
}

Value merge_heads(const Value& x) {
  const Dims dims = Dims("merge_heads").check("x", x.shape(), "B T H D");
  return reshape(x, Shape({dims["B"], dims["T"], dims["H"] * dims["D"]}));
}

}  // namespace rebased
