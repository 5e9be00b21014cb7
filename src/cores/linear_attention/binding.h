#pragma once

#include "engine/core.h"

namespace rebased {

// What the arguments of linear and quadratic attention take alike from a call: q, k, v and two states to o, and z that
// is kept. Options are those of either word.
template <class Args, class Real, class Options>
Args sums_args(const CoreCall<Real>& call, const Options& options) {
  Args args;
  args.B = call["B"], args.T = call["T"], args.H = call["H"], args.Dv = call["Dv"];
  args.q = call.in(0), args.k = call.in(1), args.v = call.in(2);
  args.scale = options.scale, args.eps = options.eps, args.normalize = options.normalize;
  args.o = call.results[0], args.z = call.kept[0];
  args.s0 = call.before[0], args.z0 = call.before[1];
  args.sT = call.after[0], args.zT = call.after[1];
  args.positions = call.ids(3);
  args.form = options.form, args.chunk = options.chunk;
  args.scratch = call.scratch;
  return args;
}

template <class GradArgs, class Args, class Real>
GradArgs sums_grad_args(const CoreGradCall<Real>& call, const Args& forward) {
  return {.forward = forward,
          .d_o = call.d_results[0],
          .d_sT = call.d_after[0],
          .d_zT = call.d_after[1],
          .dq = call.d_operands[0],
          .dk = call.d_operands[1],
          .dv = call.d_operands[2],
          .d_s0 = call.d_before[0],
          .d_z0 = call.d_before[1],
          .scratch = call.scratch};
}

}  // namespace rebased
