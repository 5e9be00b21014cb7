#include "cores/short_conv/kernel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "kernels/kernel_buffers.h"

namespace rebased::kernels {
namespace {

struct Case {
  int64_t B, T, C, K;
  bool bias, silu, state;  // state: initial and final state and their gradients
};

// One problem in double; the cpu kernel sees it rounded to float (the values are floats already).
struct Problem {
  explicit Problem(const Case& size)
      : s(size),
        x(random_buffer(s.B * s.T * s.C, 1)),
        w(random_buffer(s.C * s.K, 2)),
        bias(random_buffer(s.C, 3)),
        state0(random_buffer(s.B * (s.K - 1) * s.C, 4)),
        dy(random_buffer(s.B * s.T * s.C, 5)),
        d_stateT(random_buffer(s.B * (s.K - 1) * s.C, 6)) {}
  Case s;
  Buffer<float> x, w, bias, state0, dy, d_stateT;
};

struct Outputs {
  std::vector<double> y, stateT, dx, dw, dbias, d_state0;
};

Outputs oracle(const Problem& p) {
  const Case& s = p.s;
  const auto x = p.x.doubles(), w = p.w.doubles(), bias = p.bias.doubles(), state0 = p.state0.doubles(),
             dy = p.dy.doubles(), d_stateT = p.d_stateT.doubles();
  Outputs out{dy, state0, dy, w, bias, state0};
  ShortConvGradArgs<double> g;
  g.forward = {s.B,
               s.T,
               s.C,
               s.K,
               x.data(),
               w.data(),
               s.bias ? bias.data() : nullptr,
               s.silu,
               s.state ? state0.data() : nullptr,
               out.y.data(),
               s.state ? out.stateT.data() : nullptr};
  reference::short_conv(g.forward);
  g.dy = dy.data();
  g.d_stateT = s.state ? d_stateT.data() : nullptr;
  g.dx = out.dx.data();
  g.dw = out.dw.data();
  g.dbias = s.bias ? out.dbias.data() : nullptr;
  g.d_state0 = s.state ? out.d_state0.data() : nullptr;
  reference::short_conv_grad(g);
  return out;
}

// Runs the kernel, checks it against the oracle and returns every output.
std::vector<float> run_and_check(const Problem& p, const Outputs& want) {
  const Case& s = p.s;
  Buffer<float> y(p.x.size()), stateT(p.state0.size()), dx(p.x.size()), dw(p.w.size()), dbias(s.C),
      d_state0(p.state0.size());
  ShortConvGradArgs<float> g;
  g.forward = {s.B,
               s.T,
               s.C,
               s.K,
               p.x.data(),
               p.w.data(),
               s.bias ? p.bias.data() : nullptr,
               s.silu,
               s.state ? p.state0.data() : nullptr,
               y.data(),
               s.state ? stateT.data() : nullptr};
  cpu::short_conv(g.forward);
  g.dy = p.dy.data();
  g.d_stateT = s.state ? p.d_stateT.data() : nullptr;
  g.dx = dx.data();
  g.dw = dw.data();
  g.dbias = s.bias ? dbias.data() : nullptr;
  g.d_state0 = s.state ? d_state0.data() : nullptr;
  Buffer<float> scratch(cpu::short_conv_grad_scratch(g));
  g.scratch = scratch.data();
  cpu::short_conv_grad(g);
  const double eps = 0x1p-24;  // sums of K products (y, dx) or B T (dw, dbias) of normal numbers, rarely beyond 5 each
  const double taps = 16 * eps * static_cast<double>(s.K + 4),
               tokens = 16 * eps * static_cast<double>(s.B * s.T + s.K + 4);
  expect_near(y, want.y, eps, taps, "y");
  expect_near(dx, want.dx, eps, 2 * taps, "dx");
  expect_near(dw, want.dw, eps, 2 * tokens, "dw");
  if (s.bias) expect_near(dbias, want.dbias, eps, 2 * tokens, "dbias");
  if (s.state) expect_near(stateT, want.stateT, 0, 0, "stateT");
  if (s.state) expect_near(d_state0, want.d_state0, eps, 2 * taps, "d_state0");
  std::vector<float> all = y.values();
  for (const Buffer<float>* part : {&dx, &dw}) all.insert(all.end(), part->data(), part->data() + part->size());
  return all;
}

TEST(ShortConv, MatchesTheReferenceAtEveryWidth) {
  for (int64_t C = 1; C <= 33; ++C) {
    for (int64_t K : {1, 2, 3, 4, 5}) {
      const Problem p({2, 7, C, K, C % 2 == 0, K % 2 == 0, C % 3 == 0});
      const Outputs want = oracle(p);
      SCOPED_TRACE(testing::Message() << "C " << C << " K " << K);
      for_each_target([&] { run_and_check(p, want); });
    }
  }
}

TEST(ShortConv, MatchesTheReferenceOverTimeBlocksAndFilterLengths) {
  for (int64_t T : {1, 2, 15, 16, 17, 40}) {
    for (int64_t K : {1, 3, 4, 18, 64, 65, 130}) {
      for (int options = 0; options < 8; ++options) {
        const Problem p({2, T, 5, K, (options & 1) != 0, (options & 2) != 0, (options & 4) != 0});
        SCOPED_TRACE(testing::Message() << "T " << T << " K " << K << " options " << options);
        run_and_check(p, oracle(p));
      }
    }
  }
}

TEST(ShortConv, WideRowsAreTheSameOnEveryThreadCount) {
  for (int64_t K : {4, 66}) {
    const Problem p({1, 21, 1100, K, true, true, true});
    const Outputs want = oracle(p);
    std::vector<std::vector<float>> results;
    for_each_thread_count([&] { results.push_back(run_and_check(p, want)); });
    EXPECT_EQ(results[0], results[1]);
    EXPECT_EQ(results[0], results[2]);
  }
}

TEST(ShortConv, StateMayBeItsOwnSourceAndTokensOneByOneGiveTheSame) {
  for_each_target([] {
    const Problem p({2, 12, 18, 4, true, true, true});
    const Outputs want = oracle(p);
    for (int64_t step : {1, 2, 3, 12}) {
      Buffer<float> state = random_buffer(p.state0.size(), 4);
      for (int64_t t = 0; t < 12; t += step) {
        for (int64_t b = 0; b < 2; ++b) {  // a call a row: its tokens are contiguous
          Buffer<float> y(step * 18);
          float* row_state = state.data() + b * 3 * 18;
          cpu::short_conv({1, step, 18, 4, p.x.data() + (b * 12 + t) * 18, p.w.data(), p.bias.data(), true, row_state,
                           y.data(), row_state});
          const auto from = want.y.begin() + (b * 12 + t) * 18;
          expect_near(y, std::vector<double>(from, from + step * 18), 0x1p-24, 128 * 0x1p-24, "y");
        }
      }
      expect_near(state, want.stateT, 0, 0, "state");
    }
  });
}

TEST(ShortConv, FreshStateIsFilledWithZerosBeforeTheFirstToken) {
  const Problem p({1, 2, 3, 5, false, false, false});
  Buffer<float> y(6), stateT(12);
  cpu::short_conv({1, 2, 3, 5, p.x.data(), p.w.data(), nullptr, false, nullptr, y.data(), stateT.data()});
  std::vector<float> want(6, 0.0f);
  want.insert(want.end(), p.x.data(), p.x.data() + 6);
  EXPECT_EQ(stateT.values(), want);
}

TEST(ShortConv, ReferenceByHand) {
  const std::vector<double> x{1, 2, 3}, w{10, 1}, state{5};
  std::vector<double> y(3), stateT(1);
  reference::short_conv({1, 3, 1, 2, x.data(), w.data(), nullptr, false, state.data(), y.data(), stateT.data()});
  EXPECT_EQ(y, (std::vector<double>{51, 12, 23}));
  EXPECT_EQ(stateT, (std::vector<double>{3}));
}

// L = <dy, y> + <d_stateT, stateT>
double loss(const Case& s, const std::vector<std::vector<double>>& in, const Problem& p) {
  std::vector<double> y(in[0].size()), stateT(in[3].size());
  reference::short_conv(
      {s.B, s.T, s.C, s.K, in[0].data(), in[1].data(), in[2].data(), s.silu, in[3].data(), y.data(), stateT.data()});
  double sum = 0;
  for (size_t i = 0; i < y.size(); ++i) sum += y[i] * p.dy.data()[i];
  for (size_t i = 0; i < stateT.size(); ++i) sum += stateT[i] * p.d_stateT.data()[i];
  return sum;
}

TEST(ShortConv, ReferenceGradientsMatchFiniteDifferences) {
  for (int64_t T : {2, 5}) {
    const Case s{2, T, 2, 4, true, true, true};
    const Problem p(s);
    const Outputs want = oracle(p);
    std::vector<std::vector<double>> in{p.x.doubles(), p.w.doubles(), p.bias.doubles(), p.state0.doubles()};
    const std::vector<double>* gradients[] = {&want.dx, &want.dw, &want.dbias, &want.d_state0};
    const double h = 1e-5;  // truncation h^2, rounding 1e-15 / h: both near 1e-10
    for (size_t k = 0; k < in.size(); ++k) {
      for (size_t i = 0; i < in[k].size(); ++i) {
        const double at = in[k][i];
        in[k][i] = at + h;
        const double up = loss(s, in, p);
        in[k][i] = at - h;
        const double down = loss(s, in, p);
        in[k][i] = at;
        EXPECT_NEAR((up - down) / (2 * h), (*gradients[k])[i], 1e-8) << k << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace rebased::kernels
