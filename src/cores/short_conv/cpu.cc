#include "cores/short_conv/kernel.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>

#include "base/threads.h"
#include "kernels/tools/parts.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cores/short_conv/cpu.cc"
#include "hwy/foreach_target.h"  // before the others

#include "hwy/highway.h"
#include "kernels/tools/lanes-inl.h"

#ifndef REBASED_CORES_SHORT_CONV
#define REBASED_CORES_SHORT_CONV
namespace rebased::kernels::cpu {
namespace {

using Args = ShortConvArgs<float>;
using GradArgs = ShortConvGradArgs<float>;

constexpr int64_t kChannels = 1024;  // of a block, at most
constexpr int64_t kTaps = 64;        // of a sweep; longer filters take several
constexpr int64_t kTransposed = 4096;
constexpr int64_t kTimeBlock = 16;
constexpr int64_t kGradChannels = 1024;  // long runs of a row: 256 took twice the time at C 1024
constexpr float kZeros[kChannels] = {};

// Channels [c, ...) of input s of row b, where s < 0 reaches into the state.
const float* input_row(const Args& a, int64_t b, int64_t s, int64_t c) {
  if (s >= 0) return a.x + (b * a.T + s) * a.C + c;
  return a.state0 ? a.state0 + (b * (a.K - 1) + s + a.K - 1) * a.C + c : kZeros;
}

struct Row {
  int64_t b;
  int64_t n;  // tokens up to the last one that is no padding
};

// What one thread of the gradient works with for channels [c0, c0 + width) of some rows of the batch.
struct GradBlock {
  int64_t c0 = 0, width = 0;
  int64_t begin = 0, end = 0;  // rows
  float* du = nullptr;         // [kTimeBlock + K - 1, width]: dL/du from the block's first token on
  float* taps = nullptr;       // [K, width]
  float* dtaps = nullptr;      // [K, width]
  float* dbias = nullptr;      // [width]
};

}  // namespace
}  // namespace rebased::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace rebased::kernels::cpu::HWY_NAMESPACE {
namespace {

using namespace lanes;  // NOLINT

// out[j, c] = w[c, j] for the first channels, whole vectors of them, where a channel has exactly kCount taps; how many.
template <int kCount>
HWY_INLINE int64_t transpose_vectors(const float* w, int64_t width, float* out) {
  const Tag d;
  int64_t c = 0;
  for (; c + lane_count() <= width; c += lane_count()) {
    Vec v[4];
    if constexpr (kCount == 3) {
      hn::LoadInterleaved3(d, w + c * kCount, v[0], v[1], v[2]);
    } else {
      hn::LoadInterleaved4(d, w + c * kCount, v[0], v[1], v[2], v[3]);
    }
    for (int64_t j = 0; j < kCount; ++j) hn::StoreU(v[j], d, out + j * width + c);
  }
  return c;
}

// Taps [j0, j0 + taps) of channels [c0, c0 + width): out[j, c].
HWY_INLINE void transpose_taps(const Args& a, int64_t c0, int64_t width, int64_t j0, int64_t taps, float* out) {
  const float* w = a.w + c0 * a.K + j0;
  int64_t c = 0;
  if (a.K == 3 && taps == 3) c = transpose_vectors<3>(w, width, out);
  if (a.K == 4 && taps == 4) c = transpose_vectors<4>(w, width, out);
  for (; c < width; ++c) {
    for (int64_t j = 0; j < taps; ++j) out[j * width + c] = w[c * a.K + j];
  }
}

// A sweep's taps over one token: inputs[j] points at its channels.
struct Sweep {
  int64_t width;
  int64_t taps;
  const float* weights;  // [taps, width]
  const float* inputs[kTaps];
};

// start[c] + sum over the taps; kCount fixes their number.
template <int kCount, class Access>
HWY_INLINE Vec dot_taps(const Sweep& s, int64_t c, Vec sum, Access at) {
  const int64_t taps = kCount > 0 ? kCount : s.taps;
  for (int64_t j = 0; j < taps; ++j)
    sum = hn::MulAdd(at.load(s.weights + j * s.width + c), at.load(s.inputs[j] + c), sum);
  return sum;
}

HWY_INLINE Vec silu(Vec u) { return hn::Div(u, hn::Add(hn::Set(Tag(), 1.0f), exp_any(Tag(), hn::Neg(u)))); }

// One token of forward: y = start + taps, with silu when asked. start is null for zeros.
template <int kCount>
HWY_INLINE void token(const Sweep& s, const float* start, bool activate, float* y) {
  for_each_vector(s.width, [&](int64_t c, auto at) HWY_ATTR {
    Vec u = dot_taps<kCount>(s, c, start ? at.load(start + c) : hn::Zero(Tag()), at);
    if (activate) u = silu(u);
    at.store(u, y + c);
  });
}

HWY_INLINE void any_token(const Sweep& s, const float* start, bool activate, float* y) {
  switch (s.taps) {
    case 3:
      return token<3>(s, start, activate, y);
    case 4:
      return token<4>(s, start, activate, y);
    default:
      return token<0>(s, start, activate, y);
  }
}

// Points the sweep at taps [j0, ...) of channels [c0, ...) for token t of row b.
HWY_INLINE void aim(const Args& a, int64_t b, int64_t t, int64_t j0, int64_t c0, Sweep& s) {
  s.taps = std::min(kTaps, a.K - j0);
  for (int64_t j = 0; j < s.taps; ++j) {
    const int64_t lag = a.K - 1 - j0 - j;
    s.inputs[j] = sees(a, b, t, lag) ? input_row(a, b, t - lag, c0) : kZeros;
  }
}

// Tokens [begin, end) of the flattened [B, T].
void forward_tokens(const Args& a, int64_t begin, int64_t end) {
  float weights[kTransposed];
  Sweep s{};
  s.weights = weights;
  const int64_t block = std::min(kChannels, kTransposed / std::min(kTaps, a.K) / kMaxLanes * kMaxLanes);
  for (int64_t c0 = 0; c0 < a.C; c0 += block) {
    s.width = std::min(block, a.C - c0);
    const float* bias = a.bias ? a.bias + c0 : nullptr;
    for (int64_t j0 = 0; j0 < a.K; j0 += kTaps) {
      const bool last = j0 + kTaps >= a.K;
      transpose_taps(a, c0, s.width, j0, std::min(kTaps, a.K - j0), weights);
      int64_t b = begin / a.T, t = begin % a.T;
      for (int64_t n = begin; n < end; ++n) {
        aim(a, b, t, j0, c0, s);
        float* y = a.y + n * a.C + c0;
        any_token(s, j0 == 0 ? bias : y, a.silu && last, y);
        if (++t == a.T) ++b, t = 0;
      }
    }
  }
}

HWY_INLINE Vec silu_slope(Vec u) {
  const Tag d;
  const Vec one = hn::Set(d, 1.0f);
  const Vec gate = sigmoid(d, u);
  return hn::Mul(gate, hn::MulAdd(u, hn::Sub(one, gate), one));
}

// du of a token from start + the sweep's taps and dy, and its part of dbias and of the sweep's dtaps.
template <int kCount>
HWY_INLINE void token_gradient(const Sweep& s, const float* start, const float* dy, bool activate, float* dtaps,
                               float* dbias, float* du) {
  const int64_t taps = kCount > 0 ? kCount : s.taps;
  for_each_vector(s.width, [&](int64_t c, auto at) HWY_ATTR {
    Vec d = at.load(dy + c);
    if (activate) d = hn::Mul(d, silu_slope(dot_taps<kCount>(s, c, start ? at.load(start + c) : hn::Zero(Tag()), at)));
    at.store(d, du + c);
    at.store(hn::Add(at.load(dbias + c), d), dbias + c);
    for (int64_t j = 0; j < taps; ++j) {
      float* sum = dtaps + j * s.width + c;
      at.store(hn::MulAdd(d, at.load(s.inputs[j] + c), at.load(sum)), sum);
    }
  });
}

// The same for the taps of an earlier sweep, du being known.
HWY_INLINE void add_tap_gradients(const Sweep& s, const float* du, float* dtaps) {
  for (int64_t j = 0; j < s.taps; ++j) {
    float* sum = dtaps + j * s.width;
    for_each_vector(s.width, [&](int64_t c, auto at) HWY_ATTR {
      at.store(hn::MulAdd(at.load(du + c), at.load(s.inputs[j] + c), at.load(sum + c)), sum + c);
    });
  }
}

// du of token t (dy times silu'(u), u computed again) and its part of the weights' gradients.
HWY_INLINE void grad_token(const GradArgs& g, const GradBlock& k, int64_t b, int64_t t, float* du) {
  const Args& a = g.forward;
  const float* dy = g.dy + (b * a.T + t) * a.C + k.c0;
  const float* start = a.bias ? a.bias + k.c0 : nullptr;
  const int64_t last = (a.K - 1) / kTaps * kTaps;
  Sweep s{};
  s.width = k.width;
  for (int64_t j0 = 0; a.silu && j0 < last; j0 += kTaps) {
    s.weights = k.taps + j0 * k.width;
    aim(a, b, t, j0, k.c0, s);
    any_token(s, start, false, du);
    start = du;
  }
  s.weights = k.taps + last * k.width;
  aim(a, b, t, last, k.c0, s);
  float* dtaps = k.dtaps + last * k.width;
  switch (s.taps) {
    case 3:
      token_gradient<3>(s, start, dy, a.silu, dtaps, k.dbias, du);
      break;
    case 4:
      token_gradient<4>(s, start, dy, a.silu, dtaps, k.dbias, du);
      break;
    default:
      token_gradient<0>(s, start, dy, a.silu, dtaps, k.dbias, du);
  }
  for (int64_t j0 = 0; j0 < last; j0 += kTaps) {
    aim(a, b, t, j0, k.c0, s);
    add_tap_gradients(s, du, k.dtaps + j0 * k.width);
  }
}

// Whether the token `lag` tokens behind input s sees it.
HWY_INLINE bool seen_by(const Args& a, int64_t b, int64_t s, int64_t lag) {
  return s + lag < a.T && sees(a, b, s + lag, lag);
}

// Gradient of input s (negative: of the state), from du of tokens t0 on and the final state.
HWY_INLINE void d_input(const GradArgs& g, const GradBlock& k, const Row& row, int64_t s, int64_t t0, float* out) {
  const Args& a = g.forward;
  const auto [b, n] = row;
  const int64_t slot = s - n + a.K - 1;
  const bool kept = g.d_stateT && slot >= 0 && slot < a.K - 1 && (n == 0 || sees(a, b, n - 1, n - 1 - s));
  const float* start = kept ? g.d_stateT + (b * (a.K - 1) + slot) * a.C + k.c0 : nullptr;
  const int64_t last = std::min(a.K - 1, s + a.K - 1);  // later taps would reach tokens before the first
  int64_t first = 0;                                    // earlier taps would reach tokens that do not see it
  while (a.positions && first <= last && !seen_by(a, b, s, a.K - 1 - first)) ++first;
  for_each_vector(k.width, [&](int64_t c, auto at) HWY_ATTR {
    Vec sum = start ? at.load(start + c) : hn::Zero(Tag());
    const float* du = k.du + (s + a.K - 1 - t0) * k.width + c;
    for (int64_t j = first; j <= last; ++j) {
      sum = hn::MulAdd(at.load(k.taps + j * k.width + c), at.load(du - j * k.width), sum);
    }
    at.store(sum, out + c);
  });
}

// Every token of row b, last block first, so that the du a block needs from behind it is at hand.
HWY_INLINE void grad_row(const GradArgs& g, const GradBlock& k, int64_t b) {
  const Args& a = g.forward;
  const Row row{b, tokens_of_row(a, b)};
  const int64_t kept = (a.K - 1) * k.width;
  std::fill_n(k.du, kTimeBlock * k.width + kept, 0.0f);
  const int64_t blocks = (a.T + kTimeBlock - 1) / kTimeBlock;
  for (int64_t block = blocks - 1; block >= 0; --block) {
    const int64_t t0 = block * kTimeBlock;
    const int64_t rows = std::min(kTimeBlock, a.T - t0);
    if (block != blocks - 1) {
      std::memmove(k.du + kTimeBlock * k.width, k.du, static_cast<size_t>(kept) * sizeof(float));
    }
    for (int64_t i = rows - 1; i >= 0; --i) {
      grad_token(g, k, b, t0 + i, k.du + i * k.width);
    }
    for (int64_t t = t0; t < t0 + rows; ++t) d_input(g, k, row, t, t0, g.dx + (b * a.T + t) * a.C + k.c0);
  }
  for (int64_t i = 0; g.d_state0 && i < a.K - 1; ++i) {
    d_input(g, k, row, i - a.K + 1, 0, g.d_state0 + (b * (a.K - 1) + i) * a.C + k.c0);
  }
}

void grad_channels(const GradArgs& g, const GradBlock& k) {
  const Args& a = g.forward;
  transpose_taps(a, k.c0, k.width, 0, a.K, k.taps);
  std::fill_n(k.dtaps, a.K * k.width, 0.0f);
  std::fill_n(k.dbias, k.width, 0.0f);
  for (int64_t b = k.begin; b < k.end; ++b) grad_row(g, k, b);
}

}  // namespace
}  // namespace rebased::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rebased::kernels::cpu {
namespace {

HWY_EXPORT(forward_tokens);
HWY_EXPORT(grad_channels);

// The last K-1 inputs. A slot reads a later slot or a token, so that the state may be its own source.
void advance_state(const Args& a, int64_t b) {
  const int64_t n = tokens_of_row(a, b);
  for (int64_t i = 0; i < a.K - 1; ++i) {
    float* slot = a.stateT + (b * (a.K - 1) + i) * a.C;
    for (int64_t c = 0; c < a.C; c += kChannels) {
      const auto bytes = static_cast<size_t>(std::min(kChannels, a.C - c)) * sizeof(float);
      const int64_t lag = a.K - 2 - i;
      const bool seen = n == 0 || sees(a, b, n - 1, lag);
      std::memmove(slot + c, seen ? input_row(a, b, n - 1 - lag, c) : kZeros, bytes);
    }
  }
}

int64_t grad_floats_a_channel(const Args& a) { return kTimeBlock + a.K - 1 + 2 * a.K + 1; }

// How threads share a gradient: rows of the batch, each thread with sums of its own, where there are enough of them,
// since whoever wrote a row's inputs has them in its cache; else channels.
struct GradShares {
  int64_t parts;   // of the rows
  int64_t width;   // channels of a block
  int64_t blocks;  // of a part
};

GradShares grad_shares(const Args& a) {
  const int64_t threads = thread_count(), parts = a.B >= threads ? threads : 1;
  const int64_t share = parts > 1 ? a.C : (a.C + threads - 1) / threads;
  const int64_t width = std::clamp<int64_t>((share + 15) / 16 * 16, 16, kGradChannels);
  return {parts, width, (a.C + width - 1) / width};
}

GradBlock grad_block(const GradArgs& g, const GradShares& shares, int64_t part, int64_t block) {
  const Args& a = g.forward;
  const int64_t c0 = block * shares.width, width = std::min(shares.width, a.C - c0);
  float* at = g.scratch + (part * a.C + c0) * grad_floats_a_channel(a);
  auto take = [&at, width](int64_t rows) { return std::exchange(at, at + rows * width); };
  GradBlock k{.c0 = c0, .width = width};
  k.begin = a.B * part / shares.parts;
  k.end = a.B * (part + 1) / shares.parts;
  k.du = take(kTimeBlock + a.K - 1);
  k.taps = take(a.K);
  k.dtaps = take(a.K);
  k.dbias = take(1);
  return k;
}

// The sums of all parts, to their places.
void join_sums(const GradArgs& g, const GradShares& shares) {
  const int64_t K = g.forward.K;
  for (int64_t part = 0; part < shares.parts; ++part) {
    for (int64_t block = 0; block < shares.blocks; ++block) {
      const GradBlock k = grad_block(g, shares, part, block);
      if (g.dbias) join_part(part, k.width, k.dbias, g.dbias + k.c0);
      for (int64_t c = 0; c < k.width; ++c) {
        float* dw = g.dw + (k.c0 + c) * K;
        for (int64_t j = 0; j < K; ++j) dw[j] = (part == 0 ? 0.0f : dw[j]) + k.dtaps[j * k.width + c];
      }
    }
  }
}

}  // namespace

void short_conv(const Args& a) noexcept {
  auto body = [&a](int64_t begin, int64_t end) { HWY_DYNAMIC_DISPATCH(forward_tokens)(a, begin, end); };
  parallel_for(a.B * a.T, std::max<int64_t>(1, 4096 / std::max<int64_t>(1, a.C * std::max<int64_t>(1, a.K / 4))),
               std::ref(body));
  if (!a.stateT) return;
  auto advance = [&a](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) advance_state(a, b);
  };
  parallel_for(a.B, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, a.C * a.K)), std::ref(advance));
}

int64_t short_conv_grad_scratch(const GradArgs& g) noexcept {
  return grad_shares(g.forward).parts * grad_floats_a_channel(g.forward) * g.forward.C;
}

void short_conv_grad(const GradArgs& g) noexcept {
  const GradShares shares = grad_shares(g.forward);
  auto body = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      HWY_DYNAMIC_DISPATCH(grad_channels)(g, grad_block(g, shares, i / shares.blocks, i % shares.blocks));
    }
  };
  parallel_for(shares.parts * shares.blocks, 1, std::ref(body));
  join_sums(g, shares);
}

}  // namespace rebased::kernels::cpu
#endif
