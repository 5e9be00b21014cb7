#pragma once

#include <cstdint>

#include "kernels/causal/line_stream.h"
#include "kernels/form.h"

// The masked chunk product behind quadratic and plain linear attention. A plain linear attention is the similarity
// 0 + x + 0 x^2 of its mapped features, so that one core serves both.
namespace rebased::kernels::cpu::attention {

// Forward and gradient arguments of both kernels in one shape; names as in cores/quadratic_attention/kernel.h.
struct Problem {
  int64_t B = 0, T = 0, H = 0, Dk = 0, Dv = 0;
  int64_t N = 0;                     // queries a row: T, or fewer with
  const int64_t* queries = nullptr;  // [B, N]
  int64_t F = 0;                     // rows of the state
  const float *q = nullptr, *k = nullptr, *v = nullptr;
  float a = 0, b = 1, c = 0;                                // similarity a + b x + c x^2
  bool constant = false, linear = true, quadratic = false;  // which monomials the state holds
  float scale = 1, eps = 0;
  bool normalize = true;
  float *o = nullptr, *z = nullptr;
  const float *s0 = nullptr, *z0 = nullptr;
  float *sT = nullptr, *zT = nullptr;
  Form form = Form::kAuto;
  int64_t chunk = 0;
  float* scratch = nullptr;
  int threads = 0;  // 1: the caller's alone; 0: all
  const float *d_o = nullptr, *d_sT = nullptr, *d_zT = nullptr;
  float *dq = nullptr, *dk = nullptr, *dv = nullptr, *d_s0 = nullptr, *d_z0 = nullptr;
};

// What the arguments of both kernels say alike, and their gradients'.
template <class Args>
Problem problem_of_sums(const Args& args) {
  Problem x;
  x.B = args.B, x.T = args.T, x.H = args.H, x.Dv = args.Dv;
  x.q = args.q, x.k = args.k, x.v = args.v;
  x.scale = static_cast<float>(args.scale), x.eps = static_cast<float>(args.eps);
  x.normalize = args.normalize;
  x.o = args.o, x.z = args.z;
  x.s0 = args.s0, x.z0 = args.z0, x.sT = args.sT, x.zT = args.zT;
  x.form = args.form, x.chunk = args.chunk, x.scratch = args.scratch;
  return x;
}

// `x` is the problem of args.forward.
template <class GradArgs>
Problem with_gradients(Problem x, const GradArgs& args) {
  x.sT = x.zT = nullptr;
  x.d_o = args.d_o, x.d_sT = args.d_sT, x.d_zT = args.d_zT;
  x.dq = args.dq, x.dk = args.dk, x.dv = args.dv, x.d_s0 = args.d_s0, x.d_z0 = args.d_z0;
  x.scratch = args.scratch;
  return x;
}

// Threads that work on it.
int threads_of(const Problem& problem) noexcept;

// Whether queries and keys are their own features.
constexpr bool plain(const Problem& x) { return x.linear && !x.constant && !x.quadratic && x.b == 1; }

// Every row of a packed buffer holds a multiple of kPad floats, which every vector length divides.
inline constexpr int64_t kPad = 16;
inline constexpr int64_t kTile = 64;       // tokens a tile, and a chunk unless the caller says otherwise
inline constexpr int64_t kMaxChunk = 256;  // a longer chunk is cut to this
inline constexpr int64_t kNarrow = 8;      // up to this Dv, outputs are vectors over time; 21 values gained nothing so
constexpr int64_t padded(int64_t n) { return (n + kPad - 1) / kPad * kPad; }

// Sizes that follow from a problem and the thread count.
struct Plan {
  Form form = Form::kParallel;  // not kAuto
  int64_t tile = 0;             // tokens a tile or chunk
  int64_t ld = 0;               // padded(tile): row length of what is laid out over time
  int64_t keys = 0;             // keys held packed at once: one chunk, or all for the parallel form
  int64_t key_ld = 0;           // padded(Dk)
  int64_t value_ld = 0;         // padded(Dv + 1): column Dv carries the normaliser (1 for values, Z for states); or Dv
  int64_t value_n = 0;    // columns of a product with values: column Dv comes along when Dv is no multiple of kPad
  int64_t segments = 1;   // pieces of time that threads share, chunked form only
  int64_t group = 1;      // heads of an item, chunked form only; divides H
  bool streamed = false;  // what comes next, a chunk of all heads or a batch row, is one run of memory, fetched ahead
  bool states = false;    // whether any state is read or formed
  bool narrow = false;
  bool num_has_den = false;  // the normaliser is summed in column Dv of the numerators
  bool apart = false;        // nothing has a column Dv: a state's normaliser lies behind its rows; forward only
  int64_t workspace = 0;     // floats a thread
  int64_t state_floats = 0;  // floats of one packed state [F, value_ld] (and [F] behind it), or turned [Dv + 1, key_ld]
};

Form choose_form(const Problem& problem) noexcept;
Plan make_plan(const Problem& problem, bool backward) noexcept;
int64_t scratch_floats(const Problem& problem, bool backward) noexcept;
void forward(const Problem& problem) noexcept;
void backward(const Problem& problem) noexcept;

// A thread's buffers, all kPad-aligned; those of the backward pass are null in a forward one.
struct Workspace {
  float *q, *q_t;       // [ld, key_ld] scaled queries; [key_ld, ld]
  float* tokens;        // [ld] which token each packed query is, counted like the slots of the packed keys
  float *k, *k_t;       // [keys, key_ld]; [key_ld, ld] of one tile
  float *v, *v_t;       // [keys, value_ld] with 1 in column Dv if there is one; [value_ld, ld] of one tile
  const float* values;  // v itself, or the caller's values where they are only read one by one (set for each item)
  int64_t values_ld;
  float* scores;             // [tile, ld] keys x queries
  float *num, *den;          // [ld, value_ld] or [value_ld, ld] when narrow; [ld]
  float* phi;                // [F, ld]
  float* state;              // [heads of an item, F, value_ld]
  float *g, *g_t;            // [ld, value_ld] u g with dz in column Dv; [value_ld, ld]
  float* dz;                 // [heads of an item, T] gradient of the normalisers, kept from the pass over states
  float* slopes;             // [tile, ld] gradient of the scores, not when narrow
  float *dq, *dk, *dv;       // [ld, key_ld]; [keys, key_ld]; [keys, value_ld]; narrow: dk [key_ld, keys], dv [Dv, keys]
  float* o;                  // narrow only: [ld, value_ld]
  float *keys_t, *values_t;  // narrow only: [key_ld, keys]; [Dv, keys]
  float *dphi, *dx_t;        // [F, ld]; [key_ld, ld]
  float* state_t;            // [value_ld, key_ld], plain features only
  LineStream* lines;         // what products with a state fetch meanwhile, set for each item
};

// Carves a workspace out of `base`, or only measures it when that is null. Returns the floats used.
int64_t carve(const Problem& problem, const Plan& plan, bool backward, float* base, Workspace& workspace) noexcept;

// What a thread does for one item. kSumKeys and kSumQueries form the states between segments of time.
enum class Pass : uint8_t { kForward, kRecurrent, kBackward, kSumKeys, kSumQueries };

// A piece of time of some heads of a batch row. A thread takes them chunk by chunk side by side: the rows of
// neighbouring heads are neighbours in memory.
struct Item {
  int64_t batch, head;
  int64_t begin, end;  // tokens
  int64_t heads;       // from `head` on
};

}  // namespace rebased::kernels::cpu::attention
