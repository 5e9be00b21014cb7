#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/value.h"
#include "kernels/dense.h"
#include "kernels/quadratic_attention.h"

namespace rebased {

// The closed vocabulary that models are written in. Each function checks shapes and dtypes by symbolic names
// (docs/notation.md; ShapeError says the operation, the operand, what was expected and found) and has the engine that
// owns its operands carry it out. "..." stands for any leading dimensions.

using UnaryOp = kernels::Unary;
using kernels::Form;
using kernels::QuadraticKernel;

// Rotary embedding of the first `rotary` channels (even; 0 is all of them), half-split pairs. arXiv:2104.09864.
struct RopeOptions {
  int64_t rotary = 0;
  double base = 10000;
};

// Similarity a + b s + c s^2 of s = scale <q, k>, normalised by its causal sum + eps. kernels/quadratic_attention.h.
struct QuadraticOptions {
  QuadraticKernel kernel{};
  double scale = 1;
  double eps = 1e-12;
  bool normalize = true;
  Form form = Form::kAuto;
  int64_t chunk = 0;               // tokens a chunk; 0: the kernel's choice
  std::vector<int64_t> queries{};  // [B, N] tokens, ascending in a row: q is of these alone; empty: of all
};

struct LinearOptions {
  double scale = 1;
  double eps = 1e-12;
  bool normalize = true;
  Form form = Form::kAuto;
  int64_t chunk = 0;
};

// Running sums of a linear mixer: s [B, H, F, Dv], z [B, H, F]. Operations read it and leave the advanced state in it.
// Gradient flows through both unless they are detached.
struct LinearState {
  Value s;
  Value z;
};

// Which keys a query sees. Without positions: slot s is token s, query t is token S - T + t, causal. With them: slot s
// of row b holds the key of token key_pos[b, s] (nothing when negative), and is seen when key_pos <= query_pos and,
// with a window, key_pos > query_pos - window.
struct AttentionOptions {
  double scale = 1;
  int64_t window = 0;          // visible keys including the query's own; 0: all
  bool additive_mask = false;  // hidden keys get -10000 on their score instead of none of the weight (zoology)
  double dropout = 0;          // on the probabilities
  uint64_t dropout_key = 0;
  Value query_pos{};  // [B, T] i64, with
  Value key_pos{};    // [B, S] i64; both empty: the causal case above
};

struct SumAndNorm {
  Value sum;
  Value norm;
};

struct CrossEntropy {
  Value loss;                 // scalar: mean of -log softmax(x e^T)[label]
  std::vector<float> nll;     // [N]
  std::vector<int64_t> best;  // [N]: argmax of the logits
};

// ids [...] i64, table [V, C] -> [..., C]
Value embedding(const Value& ids, const Value& table);
// x [..., I], w [O, I], bias [O] or empty -> [..., O]
Value linear(const Value& x, const Value& w, const Value& bias = {});
// a [..., C]; b the same shape, or [C], or [..., 1]
Value add(const Value& a, const Value& b);
Value mul(const Value& a, const Value& b);
Value scale_shift(const Value& x, double scale, double shift = 0);  // scale x + shift
Value unary(UnaryOp op, const Value& x);
Value swiglu(const Value& x);    // [..., 2 C] -> [..., C]: rows [up | gate] -> up * silu(gate). arXiv:2002.05202
Value softmax(const Value& x);   // over the last dimension
Value sum_last(const Value& x);  // [..., C] -> [..., 1]
// x [..., C]; gamma, beta, weight [C] or empty; biased variance
Value layer_norm(const Value& x, const Value& gamma, const Value& beta, double eps);
Value rms_norm(const Value& x, const Value& weight, double eps);
// The same of a + b, alike in shape, and this sum: one step of a residual stream.
SumAndNorm add_layer_norm(const Value& a, const Value& b, const Value& gamma, const Value& beta, double eps);
SumAndNorm add_rms_norm(const Value& a, const Value& b, const Value& weight, double eps);
Value reshape(const Value& x, const Shape& shape);  // same elements in the same order
Value transpose(const Value& x);                    // [N, M] -> [M, N]
Value slice(const Value& x, int dim, int64_t begin, int64_t length);
// Consecutive slices, whose lengths add up to the dimension.
std::vector<Value> split(const Value& x, int dim, std::span<const int64_t> lengths);
Value concat(std::span<const Value> parts, int dim);
Value select_rows(const Value& x, std::span<const int64_t> rows);  // of dimension 0, repeats allowed
// cache [B, S, ...] with x [B, T, ...] written over slots at .. at+T; in place when the caller gives its only handle.
Value write_time(Value&& cache, const Value& x, int64_t at);
// Keeps each element with probability 1 - p, scaled by 1/(1-p); which, is a function of key and index alone.
Value dropout(const Value& x, double p, uint64_t key);
// x [B, T, H, D], positions [B, T] i64
Value rope(const Value& x, const Value& positions, const RopeOptions& options);
// x [..., D] -> [..., D(D+1)/2]: x_i^2, then sqrt(2) x_i x_j for i < j row by row
Value packed_squares(const Value& x);
// x [..., D] -> features of 1 + s + s^2/2, s = <x, y>/sqrt(D): [1 | x/D^(1/4) | second order], second order either all
// D^2 products / sqrt(2 D) or packed (x_i^2/sqrt(2 D), x_i x_j/sqrt(D) for i < j). arXiv:2402.18668.
Value taylor_features(const Value& x, bool packed);
// Causal depthwise convolution: x [B, T, C], w [C, K], bias [C] or empty; state [B, K-1, C]: the last inputs, oldest
// first.
Value short_conv(const Value& x, const Value& w, const Value& bias, bool silu, Value* state = nullptr);
// y[t] = sum_{j<=t} filter[c, j] x[t-j]: x [B, T, C], filter [C, L], L >= T
Value long_conv(const Value& x, const Value& filter);
// q, k [B, T, H, Dk], v [B, T, H, Dv] -> [B, T, H, Dv]. With queries q [B, N, H, Dk] -> [B, N, H, Dv], in the parallel
// form and without a state.
Value quadratic_attention(const Value& q, const Value& k, const Value& v, const QuadraticOptions& options,
                          LinearState* state = nullptr);
// q, k [B, T, H, F] already mapped, v [B, T, H, Dv] -> [B, T, H, Dv]
Value linear_attention(const Value& q, const Value& k, const Value& v, const LinearOptions& options,
                       LinearState* state = nullptr);
// q [B, T, H, Dk], k [B, S, Hkv, Dk], v [B, S, Hkv, Dv], H a multiple of Hkv -> [B, T, H, Dv]
Value softmax_attention(const Value& q, const Value& k, const Value& v, const AttentionOptions& options);
// x [N, C], e [V, C], labels in [0, V): the fused head, logits never stored. N >= 1.
CrossEntropy cross_entropy(const Value& x, const Value& e, std::span<const int64_t> labels);
Value detach(const Value& x);
Value copy(const Value& x);

// Multiplications and additions of the products with weights that this thread has asked for so far: in linear, and for
// the logits of cross_entropy. A gradient takes twice as many again, which are not counted.
int64_t product_operations();

// [B, T, H D] <-> [B, T, H, D]
Value split_heads(const Value& x, int64_t heads);
Value merge_heads(const Value& x);

}  // namespace rebased
