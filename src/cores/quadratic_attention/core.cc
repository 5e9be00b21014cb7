#include "base/error.h"
#include "base/tokens.h"
#include "cores/linear_attention/binding.h"
#include "cores/packed_squares/packed_squares.h"
#include "cores/quadratic_attention/quadratic_attention.h"
#include "engine/engine.h"

namespace rebased {
namespace {

using namespace kernels;

template <class Real>
QuadraticAttentionArgs<Real> args(const CoreCall<Real>& call, const QuadraticOptions& options) {
  auto args = sums_args<QuadraticAttentionArgs<Real>>(call, options);
  args.Dk = call["Dk"];
  args.kernel = options.kernel;
  if (!options.queries.empty()) args.N = call["N"], args.queries = options.queries.data();
  return args;
}

template <class Real>
QuadraticAttentionGradArgs<Real> args(const CoreGradCall<Real>& call, const QuadraticOptions& options) {
  return sums_grad_args<QuadraticAttentionGradArgs<Real>>(call, args(call.forward, options));
}

// `asked`: the shape of a row's queries.
Signature signature_of(const char* q, const char* o, const char* z) {
  return {
      .name = "quadratic_attention",
      .operands = {{.name = "q", .shape = q},
                   {.name = "k", .shape = "B T H Dk"},
                   {.name = "v", .shape = "B T H Dv"},
                   {.name = "positions", .shape = "B T", .optional = true, .ids = true}},
      .states = {{.name = "state.s", .shape = "B H F Dv"}, {.name = "state.z", .shape = "B H F"}},
      .results = {{.name = "o", .shape = o, .in_gradient = true}},
      .kept = {{.name = "z", .shape = z}},
  };
}

// The similarity's features, [a | b x | c packed squares of x].
Value monomials(const Value& x, const QuadraticKernel& factors, const QuadraticKernel& kernel) {
  std::vector<Value> parts;
  if (kernel.a != 0) parts.push_back(x.engine().full(x.shape().with(-1, 1), x.dtype(), factors.a));
  if (kernel.b != 0) parts.push_back(scale_shift(x, factors.b));
  if (kernel.c != 0) parts.push_back(scale_shift(packed_squares(x), factors.c));
  return concat(parts, -1);
}

// Keys that are wider than the kernel takes go by their features.
Value by_features(const Value& q, const Value& k, const Value& v, const QuadraticOptions& options, LinearState* state,
                  const Value& positions) {
  if (!options.queries.empty()) {
    throw ShapeError("[quadratic_attention] queries of some tokens: expected keys of at most {} channels, found {}",
                     +kernels::kMaxKeyDim, q.size(-1));
  }
  const QuadraticKernel& kernel = options.kernel;
  const double scale = options.scale;
  return linear_attention(
      monomials(q, {kernel.a, kernel.b * scale, kernel.c * scale * scale}, kernel), monomials(k, {1, 1, 1}, kernel), v,
      {.scale = 1, .eps = options.eps, .normalize = options.normalize, .form = options.form, .chunk = options.chunk},
      state, positions);
}

}  // namespace

const Signature& QuadraticAttentionCore::signature() const {
  static const Signature all = signature_of("B T H Dk", "B T H Dv", "B T H");
  static const Signature some = signature_of("B N H Dk", "B N H Dv", "B N H");
  return options.queries.empty() ? all : some;
}

void QuadraticAttentionCore::complete(Dims& dims) const {
  if (dims["Dk"] < 1) throw ShapeError("[quadratic_attention] Dk: expected at least 1, found {}", dims["Dk"]);
  const int64_t features = quadratic_feature_count(dims["Dk"], options.kernel);
  if (features == 0) throw ShapeError("[quadratic_attention] the similarity a + b s + c s^2 is zero");
  dims.set("F", features);
  if (options.queries.empty()) return;
  if (options.form != Form::kAuto && options.form != Form::kParallel)
    throw ShapeError("[quadratic_attention] queries of some tokens take the parallel form");
  const auto wanted = static_cast<size_t>(dims["B"] * dims["N"]);
  if (options.queries.size() != wanted) {
    throw ShapeError("[quadratic_attention] queries: expected B N = {} tokens, found {}", wanted,
                     options.queries.size());
  }
  check_tokens("quadratic_attention", "queries", options.queries, dims["B"], dims["T"]);
}

int64_t QuadraticAttentionCore::scratch(const CoreCall<float>& call) const {
  return cpu::quadratic_attention_scratch(args(call, options));
}
int64_t QuadraticAttentionCore::scratch(const CoreGradCall<float>& call) const {
  return cpu::quadratic_attention_grad_scratch(args(call, options));
}
void QuadraticAttentionCore::forward(const CoreCall<float>& call) const {
  cpu::quadratic_attention(args(call, options));
}
void QuadraticAttentionCore::backward(const CoreGradCall<float>& call) const {
  cpu::quadratic_attention_grad(args(call, options));
}
void QuadraticAttentionCore::forward(const CoreCall<double>& call) const {
  reference::quadratic_attention(args(call, options));
}
void QuadraticAttentionCore::backward(const CoreGradCall<double>& call) const {
  reference::quadratic_attention_grad(args(call, options));
}

Value quadratic_attention(const Value& q, const Value& k, const Value& v, const QuadraticOptions& options,
                          LinearState* state, const Value& positions) {
  if (!options.queries.empty() && (state != nullptr || positions))
    throw ShapeError("[quadratic_attention] queries of some tokens take no {}",
                     state != nullptr ? "state" : "positions");
  if (q && q.shape().rank() > 0 && q.size(-1) > kMaxKeyDim) return by_features(q, k, v, options, state, positions);
  const auto core = std::make_shared<QuadraticAttentionCore>(options);
  if (state == nullptr) return run_core(core, {q, k, v, positions}).front();
  return run_core(core, {q, k, v, positions}, {&state->s, &state->z}).front();
}

}  // namespace rebased
