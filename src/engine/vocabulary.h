#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/value.h"
#include "kernels/dense.h"

namespace rebased {

// The closed vocabulary that models are written in. Each function checks shapes and dtypes by symbolic names
// (docs/notation.md; ShapeError says the operation, the operand, what was expected and found) and has the engine that
// owns its operands carry it out. "..." stands for any leading dimensions.

using UnaryOp = kernels::Unary;

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
Value sum_last(const Value& x);                     // [..., C] -> [..., 1]
Value reshape(const Value& x, const Shape& shape);  // same elements in the same order
Value transpose(const Value& x);                    // [N, M] -> [M, N]
Value slice(const Value& x, int dim, int64_t begin, int64_t length);
// Consecutive slices, whose lengths add up to the dimension.
std::vector<Value> split(const Value& x, int dim, std::span<const int64_t> lengths);
Value concat(std::span<const Value> parts, int dim);
Value select_rows(const Value& x, std::span<const int64_t> rows);  // of dimension 0, repeats allowed
// cache [B, S, ...] with x [B, T, ...] written over slots at .. at+T; in place when the caller gives its only handle.
Value write_time(Value&& cache, const Value& x, int64_t at);
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
