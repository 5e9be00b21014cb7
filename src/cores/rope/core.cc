#include "base/error.h"
#include "cores/rope/kernel.h"
#include "cores/rope/rope.h"

namespace rebased {
namespace {

using namespace kernels;

int64_t rotary_of(const RopeOptions& options, int64_t D) { return options.rotary == 0 ? D : options.rotary; }

template <class Real>
RopeArgs<Real> args(const CoreCall<Real>& call, const RopeOptions& options) {
  return {.B = call["B"],
          .T = call["T"],
          .H = call["H"],
          .D = call["D"],
          .rotary = rotary_of(options, call["D"]),
          .base = options.base,
          .positions = call.ids(1),
          .x = call.in(0),
          .y = call.results[0]};
}

template <class Real>
RopeArgs<Real> args(const CoreGradCall<Real>& call, const RopeOptions& options) {
  RopeArgs<Real> back = args(call.forward, options);
  back.backwards = true;
  back.x = call.d_results[0];
  back.y = call.d_operands[0];
  return back;
}

}  // namespace

const Signature& RopeCore::signature() const {
  static const Signature signature{
      .name = "rope",
      .operands = {{.name = "x", .shape = "B T H D", .in_gradient = false},
                   {.name = "positions", .shape = "B T", .ids = true}},
      .results = {{.name = "y", .shape = "B T H D"}},
  };
  return signature;
}

void RopeCore::complete(Dims& dims) const {
  const int64_t rotary = rotary_of(options, dims["D"]);
  if (rotary < 0 || rotary > dims["D"] || rotary % 2 != 0) {
    throw ShapeError("[rope] rotary: expected an even number up to D={}, found {}", dims["D"], rotary);
  }
}

void RopeCore::forward(const CoreCall<float>& call) const { cpu::rope(args(call, options)); }
void RopeCore::backward(const CoreGradCall<float>& call) const { cpu::rope(args(call, options)); }
void RopeCore::forward(const CoreCall<double>& call) const { reference::rope(args(call, options)); }
void RopeCore::backward(const CoreGradCall<double>& call) const { reference::rope(args(call, options)); }

Value rope(const Value& x, const Value& positions, const RopeOptions& options) {
  return run_core(std::make_shared<RopeCore>(options), {x, positions}).front();
}

}  // namespace rebased
