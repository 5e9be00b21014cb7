#include "engine/tape/tape_engine.h"

#include "engine/cpu/cpu_value.h"
#include "kernels/bf16_product.h"
#include "kernels/dense_grad.h"
#include "kernels/thin_linear.h"

namespace rebased {
namespace {

namespace cpu = kernels::cpu;

kernels::Bf16ProductArgs rounded(int64_t M, int64_t N, int64_t K, const Value& c) {
  kernels::Bf16ProductArgs args{.M = M, .N = N, .K = K};
  args.c = mutable_floats(c);
  args.ldc = N;
  return args;
}

}  // namespace

void TapeEngine::multiply(kernels::Bf16ProductArgs args) {
  const std::shared_ptr<void> work = scratch(cpu::bf16_product_scratch(args));
  args.scratch = static_cast<float*>(work.get());
  cpu::bf16_product(args);
}

Value TapeEngine::rounded_product(const Value& x, const Value& w, const Value& bias) {
  Value y = make(x.shape().with(-1, w.size(0)));
  kernels::Bf16ProductArgs args = rounded(rows(x), w.size(0), w.size(1), y);
  args.a = floats(x);
  args.b = floats(w), args.b_turned = true;
  args.bias = floats_or_null(bias);
  multiply(args);
  return y;
}

void TapeEngine::give_rounded_product(Slopes& slopes, const Value& x, const Value& w) {
  const Value& dy = slopes.of();
  const int64_t N = rows(dy), I = w.size(1), O = w.size(0);
  if (slopes.wanted(0)) {
    const Value dx = make(x.shape());
    kernels::Bf16ProductArgs args = rounded(N, I, O, dx);
    args.a = floats(dy);
    args.b = floats(w);
    multiply(args);
    slopes.give(0, dx);
  }
  if (slopes.wanted(1)) {
    const Value dw = make(w.shape());
    kernels::Bf16ProductArgs args = rounded(O, I, N, dw);
    args.a = floats(dy), args.a_turned = true;
    args.b = floats(x);
    multiply(args);
    slopes.give(1, dw);
  }
  if (slopes.wanted(2)) {
    const Value dbias = make(Shape({O}));
    cpu::sum_columns(N, O, floats(dy), mutable_floats(dbias));
    slopes.give(2, dbias);
  }
}

Value TapeEngine::product(const Value& x, const Value& w, const Value& bias) {
  if (products_ == Precision::kBF16) return rounded_product(x, w, bias);
  if (!cpu::prefers_thin_linear(rows(x), w.size(1), w.size(0))) return RecordingEngine::product(x, w, bias);
  Value y = make(x.shape().with(-1, w.size(0)));
  kernels::ThinLinearArgs args{.N = rows(x), .I = w.size(1), .O = w.size(0), .x = floats(x), .w = floats(w)};
  args.bias = floats_or_null(bias);
  args.y = mutable_floats(y);
  const std::shared_ptr<void> work = scratch(cpu::thin_linear_scratch(args));
  args.scratch = static_cast<float*>(work.get());
  cpu::thin_linear(args);
  return y;
}

void TapeEngine::give_product(Slopes& slopes, const Value& x, const Value& w) {
  if (products_ == Precision::kBF16) return give_rounded_product(slopes, x, w);
  const Value dx = slopes.wanted(0) ? make(x.shape()) : Value(), dw = slopes.wanted(1) ? make(w.shape()) : Value(),
              dbias = slopes.wanted(2) ? make(Shape({w.size(0)})) : Value();
  kernels::LinearGradArgs args{.N = rows(slopes.of()), .I = w.size(1), .O = w.size(0)};
  args.x = floats(x);
  args.w = floats(w);
  args.dy = floats(slopes.of());
  args.dx = mutable_reals_or_null<float>(dx);
  args.dw = mutable_reals_or_null<float>(dw);
  args.dbias = mutable_reals_or_null<float>(dbias);
  const std::shared_ptr<void> work = scratch(cpu::linear_grad_scratch(args));
  args.scratch = static_cast<float*>(work.get());
  cpu::linear_grad(args);
  slopes.give(0, dx);
  slopes.give(1, dw);
  slopes.give(2, dbias);
}

}  // namespace rebased
