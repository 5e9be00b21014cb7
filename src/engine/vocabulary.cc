#include "engine/vocabulary.h"

#include <algorithm>

#include "base/error.h"
#include "base/tokens.h"
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

// An optional parameter of as many elements as x has channels.
void check_channels(const char* op, const char* name, const Value& parameter, const Value& x) {
  if (!parameter) return;
  check_operand(op, name, parameter, x);
  if (parameter.shape() != Shape({x.size(-1)})) {
    throw ShapeError("[{}] {}: expected [{}], found {}", op, name, x.size(-1), parameter.shape().str());
  }
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

void check_summands(const char* op, const Value& a, const Value& b) {
  check_floating(op, "a", a);
  check_rank(op, "a", a, 1);
  check_inner(op, "channels", a.size(-1));
  check_operand(op, "b", b, a);
  if (b.shape() != a.shape()) throw ShapeError("[{}] b: expected {}, found {}", op, a.shape().str(), b.shape().str());
}

void check_state(const char* op, const LinearState* state, const Value& q, const Dims& dims, int64_t features) {
  if (state == nullptr) return;
  check_operand(op, "state.s", state->s, q);
  check_operand(op, "state.z", state->z, q);
  const Shape s({dims["B"], dims["H"], features, dims["Dv"]});
  const Shape z({dims["B"], dims["H"], features});
  if (state->s.shape() != s)
    throw ShapeError("[{}] state.s: expected {}, found {}", op, s.str(), state->s.shape().str());
  if (state->z.shape() != z)
    throw ShapeError("[{}] state.z: expected {}, found {}", op, z.str(), state->z.shape().str());
}

void check_queries(const QuadraticOptions& options, const LinearState* state, Dims& dims) {
  const std::vector<int64_t>& queries = options.queries;
  const auto N = static_cast<size_t>(dims["N"]);
  if (state != nullptr) throw ShapeError("[quadratic_attention] queries of some tokens take no state");
  if (options.form != Form::kAuto && options.form != Form::kParallel)
    throw ShapeError("[quadratic_attention] queries of some tokens take the parallel form");
  if (queries.size() != static_cast<size_t>(dims["B"]) * N) {
    throw ShapeError("[quadratic_attention] queries: expected B N = {} tokens, found {}",
                     static_cast<size_t>(dims["B"]) * N, queries.size());
  }
  check_tokens("quadratic_attention", "queries", queries, dims["B"], dims["T"]);
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

Value swiglu(const Value& x) {
  check_floating("swiglu", "x", x);
  check_rank("swiglu", "x", x, 1);
  if (x.size(-1) % 2 != 0) throw ShapeError("[swiglu] x: expected an even last dimension, found {}", x.shape().str());
  return x.engine().swiglu(x);
}

Value softmax(const Value& x) {
  check_floating("softmax", "x", x);
  check_rank("softmax", "x", x, 1);
  check_inner("softmax", "channels", x.size(-1));
  return x.engine().softmax(x);
}

Value sum_last(const Value& x) {
  check_floating("sum_last", "x", x);
  check_rank("sum_last", "x", x, 1);
  check_inner("sum_last", "channels", x.size(-1));
  return x.engine().sum_last(x);
}

Value layer_norm(const Value& x, const Value& gamma, const Value& beta, double eps) {
  check_floating("layer_norm", "x", x);
  check_rank("layer_norm", "x", x, 1);
  check_inner("layer_norm", "channels", x.size(-1));
  check_channels("layer_norm", "gamma", gamma, x);
  check_channels("layer_norm", "beta", beta, x);
  return x.engine().layer_norm(x, gamma, beta, eps);
}

Value rms_norm(const Value& x, const Value& weight, double eps) {
  check_floating("rms_norm", "x", x);
  check_rank("rms_norm", "x", x, 1);
  check_inner("rms_norm", "channels", x.size(-1));
  check_channels("rms_norm", "weight", weight, x);
  return x.engine().rms_norm(x, weight, eps);
}

SumAndNorm add_layer_norm(const Value& a, const Value& b, const Value& gamma, const Value& beta, double eps) {
  check_summands("add_layer_norm", a, b);
  check_channels("add_layer_norm", "gamma", gamma, a);
  check_channels("add_layer_norm", "beta", beta, a);
  return a.engine().add_layer_norm(a, b, gamma, beta, eps);
}

SumAndNorm add_rms_norm(const Value& a, const Value& b, const Value& weight, double eps) {
  check_summands("add_rms_norm", a, b);
  check_channels("add_rms_norm", "weight", weight, a);
  return a.engine().add_rms_norm(a, b, weight, eps);
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

Value dropout(const Value& x, double p, uint64_t key) {
  check_floating("dropout", "x", x);
  if (!(p >= 0 && p < 1)) throw ShapeError("[dropout] p: expected a value in [0, 1), found {}", p);
  return p == 0 ? x : x.engine().dropout(x, p, key);
}

Value rope(const Value& x, const Value& positions, const RopeOptions& options) {
  check_floating("rope", "x", x);
  check_ids("rope", "positions", positions);
  Dims dims("rope");
  dims.check("x", x.shape(), "B T H D").check("positions", positions.shape(), "B T");
  RopeOptions resolved = options;
  if (resolved.rotary == 0) resolved.rotary = dims["D"];
  if (resolved.rotary < 0 || resolved.rotary > dims["D"] || resolved.rotary % 2 != 0) {
    throw ShapeError("[rope] rotary: expected an even number up to D={}, found {}", dims["D"], resolved.rotary);
  }
  return x.engine().rope(x, positions, resolved);
}

Value packed_squares(const Value& x) {
  check_floating("packed_squares", "x", x);
  check_rank("packed_squares", "x", x, 1);
  return x.engine().packed_squares(x);
}

Value taylor_features(const Value& x, bool packed) {
  check_floating("taylor_features", "x", x);
  check_rank("taylor_features", "x", x, 1);
  return x.engine().taylor_features(x, packed);
}

Value short_conv(const Value& x, const Value& w, const Value& bias, bool silu, Value* state) {
  check_floating("short_conv", "x", x);
  check_operand("short_conv", "w", w, x);
  Dims dims("short_conv");
  dims.check("x", x.shape(), "B T C").check("w", w.shape(), "C K");
  check_inner("short_conv", "K", dims["K"]);
  check_channels("short_conv", "bias", bias, x);
  if (state != nullptr) {
    check_operand("short_conv", "state", *state, x);
    const Shape expected({dims["B"], dims["K"] - 1, dims["C"]});
    if (state->shape() != expected) {
      throw ShapeError("[short_conv] state: expected [B K-1 C] = {}, found {}", expected.str(), state->shape().str());
    }
  }
  return x.engine().short_conv(x, w, bias, silu, state);
}

Value long_conv(const Value& x, const Value& filter) {
  check_floating("long_conv", "x", x);
  check_operand("long_conv", "filter", filter, x);
  Dims dims("long_conv");
  dims.check("x", x.shape(), "B T C").check("filter", filter.shape(), "C L");
  if (dims["L"] < dims["T"])
    throw ShapeError("[long_conv] {} tokens exceed the filter's {} taps", dims["T"], dims["L"]);
  return x.engine().long_conv(x, filter);
}

Value quadratic_attention(const Value& q, const Value& k, const Value& v, const QuadraticOptions& options,
                          LinearState* state) {
  check_floating("quadratic_attention", "q", q);
  check_operand("quadratic_attention", "k", k, q);
  check_operand("quadratic_attention", "v", v, q);
  Dims dims("quadratic_attention");
  dims.check("q", q.shape(), options.queries.empty() ? "B T H Dk" : "B N H Dk");
  dims.check("k", k.shape(), "B T H Dk").check("v", v.shape(), "B T H Dv");
  check_inner("quadratic_attention", "Dk", dims["Dk"]);
  if (!options.queries.empty()) check_queries(options, state, dims);
  const int64_t features = kernels::quadratic_feature_count(dims["Dk"], options.kernel);
  if (features == 0) throw ShapeError("[quadratic_attention] the similarity a + b s + c s^2 is zero");
  check_state("quadratic_attention", state, q, dims, features);
  return q.engine().quadratic_attention(q, k, v, options, state);
}

Value linear_attention(const Value& q, const Value& k, const Value& v, const LinearOptions& options,
                       LinearState* state) {
  check_floating("linear_attention", "q", q);
  check_operand("linear_attention", "k", k, q);
  check_operand("linear_attention", "v", v, q);
  Dims dims("linear_attention");
  dims.check("q", q.shape(), "B T H F").check("k", k.shape(), "B T H F").check("v", v.shape(), "B T H Dv");
  check_inner("linear_attention", "F", dims["F"]);
  check_state("linear_attention", state, q, dims, dims["F"]);
  return q.engine().linear_attention(q, k, v, options, state);
}

Value softmax_attention(const Value& q, const Value& k, const Value& v, const AttentionOptions& options) {
  check_floating("softmax_attention", "q", q);
  check_operand("softmax_attention", "k", k, q);
  check_operand("softmax_attention", "v", v, q);
  Dims dims("softmax_attention");
  dims.check("q", q.shape(), "B T H Dk").check("k", k.shape(), "B S Hkv Dk").check("v", v.shape(), "B S Hkv Dv");
  check_inner("softmax_attention", "Dk", dims["Dk"]);
  check_inner("softmax_attention", "Hkv", dims["Hkv"]);
  if (dims["H"] % dims["Hkv"] != 0) {
    throw ShapeError("[softmax_attention] {} heads cannot share {} key heads evenly", dims["H"], dims["Hkv"]);
  }
  if (static_cast<bool>(options.query_pos) != static_cast<bool>(options.key_pos)) {
    throw ShapeError("[softmax_attention] query_pos and key_pos come together");
  }
  if (options.query_pos) {
    check_ids("softmax_attention", "query_pos", options.query_pos);
    check_ids("softmax_attention", "key_pos", options.key_pos);
    dims.check("query_pos", options.query_pos.shape(), "B T").check("key_pos", options.key_pos.shape(), "B S");
  } else if (dims["S"] < dims["T"]) {
    throw ShapeError("[softmax_attention] {} queries on {} keys need positions", dims["T"], dims["S"]);
  }
  return q.engine().softmax_attention(q, k, v, options);
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
