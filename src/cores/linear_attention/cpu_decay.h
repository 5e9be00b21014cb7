#pragma once

#include <algorithm>
#include <cstdint>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "cores/linear_attention/kernel.h"
#include "kernels/tools/scratch.h"

// Linear attention with decay by chunks: the state, its decays and the pairs inside a chunk stay in cache. Every decay
// between two tokens is a product of factors exp(log_decay) <= 1, formed factor by factor: no sum of logarithms is ever
// turned back, so that nothing overflows or cancels, whatever the decay.
namespace rebased::kernels::cpu::decayed {

using Args = LinearAttentionArgs<float>;
using GradArgs = LinearAttentionGradArgs<float>;

inline constexpr int64_t kPad = 16;         // rows of buffers are multiples of it, as is every vector length
inline constexpr int64_t kChunk = 16;       // tokens a chunk: the fewest pairs that fill a product's registers
inline constexpr int64_t kMostChunk = 256;  // a longer chunk is cut to this

struct Plan {
  Form form = Form::kChunked;  // not kAuto
  int64_t chunk = kChunk;
  int64_t chunks = 1;
  int64_t group = 1;                     // heads that a thread takes side by side, forward; divides H
  int64_t values = 0;                    // columns of the state: Dv, and one for the normaliser
  int64_t ld_f = 0, ld_v = 0, ld_t = 0;  // row lengths over features, values and the tokens of a chunk
  bool by_feature = false;               // factors differ between features; else one a token
};

// While it lives, results below the smallest normal float are zero on this thread: weights behind a strong decay fade
// through such numbers, which take a hundred times as long to multiply.
class FlushToZero {
 public:
#if defined(__SSE__)
  FlushToZero() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }  // of results, and of operands
  ~FlushToZero() { _mm_setcsr(before_); }

 private:
  unsigned before_;
#else
  FlushToZero() {}
#endif
 public:
  FlushToZero(const FlushToZero&) = delete;
  FlushToZero& operator=(const FlushToZero&) = delete;
};

Plan make_plan(const Args& args, bool backward) noexcept;

// A thread's buffers. What is null has no use in the pass or for the kind of decay.
struct Work {
  float *q, *k, *v;        // [chunk, ld_f] scaled queries; keys; [chunk, ld_v] with 1 behind the values to normalise
  float* factor;           // [chunk, ld_f] or [ld_t]: exp(log_decay)
  float* reading;          // [chunk, ld_f]: queries as they meet the state before their token
  float* bonus;            // [ld_f], ones without
  float* meets;            // [ld_t]: 0 for the first token of a document and for padding, else 1
  float* own;              // [ld_t]: a token's weight for its own value
  float* between;          // [chunk, ld_t]: one a token: factors from behind token j to before token i > j, else zero
  float *before, *behind;  // [ld_t]: one a token: factors from the chunk's start to before i; from behind j to its end
  float* whole;            // [ld_f]: all factors of the chunk; of one token where it is alone
  float *from_start, *to_end;  // [chunk, ld_f]: queries times before, keys times behind
  float* turned;               // [ld_f, ld_t]: keys over time
  float* scores;               // [chunk, ld_t]
  float* out;                  // [chunk, ld_v]
  float* state;                // [group, F, ld_v]; backward: [values, ld_f], that of every chunk's start

  float *g, *values_turned, *d_scores;  // [chunk, ld_v]; [ld_v, ld_t]; [chunk, ld_t]
  float *d_reading, *dk, *d_factor;     // [chunk, ld_f]
  float *dv_turned, *dv;                // [ld_v, ld_t]; [chunk, ld_v]
  float *d_state, *flow;                // [values, ld_f]; [ld_f]: <dS, S> of each feature
};
Work carve(const Plan& plan, const Args& args, bool backward, Scratch& scratch) noexcept;

// Backward: sums over the tokens of each (batch, head), which rows of a batch share: of log_decay [B, H] and of the
// bonus [B, H, F].
struct Shared {
  float *log_decay, *bonus;
};
Shared carve_shared(const GradArgs& args, Scratch& scratch) noexcept;

int64_t scratch_floats(const Args& args) noexcept;
int64_t scratch_floats(const GradArgs& args) noexcept;
void forward(const Args& args) noexcept;
void backward(const GradArgs& args) noexcept;

}  // namespace rebased::kernels::cpu::decayed
