#include <vector>

#include "base/error.h"
#include "cores/softmax_attention/kernel.h"
#include "cores/softmax_attention/softmax_attention.h"
#include "engine/engine.h"

namespace rebased {
namespace {

using namespace kernels;

template <class Real>
SoftmaxAttentionArgs<Real> args(const CoreCall<Real>& call, const AttentionOptions& options) {
  return {.B = call["B"],
          .T = call["T"],
          .S = call["S"],
          .H = call["H"],
          .Hkv = call["Hkv"],
          .Dk = call["Dk"],
          .Dv = call["Dv"],
          .q = call.in(0),
          .k = call.in(1),
          .v = call.in(2),
          .query_pos = call.ids(3),
          .key_pos = call.ids(4),
          .query_first = call.ids(5),
          .scale = options.scale,
          .window = options.window,
          .additive_mask = options.additive_mask,
          .dropout = options.dropout,
          .dropout_key = options.dropout_key,
          .o = call.results[0],
          .lse = call.kept[0],
          .scratch = call.scratch};
}

template <class Real>
SoftmaxAttentionGradArgs<Real> args(const CoreGradCall<Real>& call, const AttentionOptions& options) {
  return {.forward = args(call.forward, options),
          .d_o = call.d_results[0],
          .dq = call.d_operands[0],
          .dk = call.d_operands[1],
          .dv = call.d_operands[2],
          .scratch = call.scratch};
}

// Positions first .. first+n-1 in every row: [B, n].
Value counting(Engine& engine, int64_t B, int64_t n, int64_t first) {
  std::vector<int64_t> positions;
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t i = 0; i < n; ++i) positions.push_back(first + i);
  }
  return engine.from_host(positions.data(), DType::kI64, Shape({B, n}), DType::kI64);
}

// The causal case.
AttentionPositions positions_of_tokens(const Value& q, const Value& k) {
  const Dims dims = Dims("softmax_attention").check("q", q.shape(), "B T H Dk").check("k", k.shape(), "B S Hkv Dk");
  const int64_t B = dims["B"], T = dims["T"], S = dims["S"];
  if (S < T) throw ShapeError("[softmax_attention] {} queries on {} keys need positions", T, S);
  return {counting(q.engine(), B, T, S - T), counting(q.engine(), B, S, 0)};
}

}  // namespace

const Signature& SoftmaxAttentionCore::signature() const {
  static const Signature signature{
      .name = "softmax_attention",
      .operands = {{.name = "q", .shape = "B T H Dk"},
                   {.name = "k", .shape = "B S Hkv Dk"},
                   {.name = "v", .shape = "B S Hkv Dv"},
                   {.name = "query_pos", .shape = "B T", .ids = true},
                   {.name = "key_pos", .shape = "B S", .ids = true},
                   {.name = "query_first", .shape = "B T", .optional = true, .ids = true}},
      .results = {{.name = "o", .shape = "B T H Dv", .in_gradient = true}},
      .kept = {{.name = "lse", .shape = "B T H"}},
  };
  return signature;
}

void SoftmaxAttentionCore::complete(Dims& dims) const {
  for (const char* inner : {"Dk", "Hkv"}) {
    if (dims[inner] < 1) throw ShapeError("[softmax_attention] {}: expected at least 1, found {}", inner, dims[inner]);
  }
  if (dims["H"] % dims["Hkv"] != 0) {
    throw ShapeError("[softmax_attention] {} heads cannot share {} key heads evenly", dims["H"], dims["Hkv"]);
  }
}

int64_t SoftmaxAttentionCore::scratch(const CoreCall<float>& call) const {
  return cpu::softmax_attention_scratch(args(call, options));
}
int64_t SoftmaxAttentionCore::scratch(const CoreGradCall<float>& call) const {
  return cpu::softmax_attention_grad_scratch(args(call, options));
}
void SoftmaxAttentionCore::forward(const CoreCall<float>& call) const { cpu::softmax_attention(args(call, options)); }
void SoftmaxAttentionCore::backward(const CoreGradCall<float>& call) const {
  cpu::softmax_attention_grad(args(call, options));
}
void SoftmaxAttentionCore::forward(const CoreCall<double>& call) const {
  reference::softmax_attention(args(call, options));
}
void SoftmaxAttentionCore::backward(const CoreGradCall<double>& call) const {
  reference::softmax_attention_grad(args(call, options));
}

Value softmax_attention(const Value& q, const Value& k, const Value& v, const AttentionOptions& options,
                        const AttentionPositions& positions) {
  if (static_cast<bool>(positions.query) != static_cast<bool>(positions.key)) {
    throw ShapeError("[softmax_attention] query_pos and key_pos come together");
  }
  if (positions.first && (!positions.query || options.window > 0)) {
    throw ShapeError("[softmax_attention] query_first goes with query_pos, and without a window");
  }
  const AttentionPositions placed = positions.query || !q || !k ? positions : positions_of_tokens(q, k);
  return run_core(std::make_shared<SoftmaxAttentionCore>(options), {q, k, v, placed.query, placed.key, placed.first})
      .front();
}

}  // namespace rebased
