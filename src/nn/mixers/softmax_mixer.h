#pragma once

#include <cstdint>
#include <vector>

#include "config/limits.h"
#include "nn/layers.h"
#include "nn/sequence_mixer.h"

namespace rebased {

// What `attention` and `sliding_window` have in common. Keys are cached before rotation, each with its position, so
// that a policy may choose among them later.
struct SoftmaxOptions {
  int64_t num_heads = 1;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  bool causal = true;
  bool qkv_bias = true;
  bool out_bias = true;
  double rope_fraction = 0;
  double rope_base = 10000;
  bool qk_norm = false;
  double qk_norm_eps = 1e-5;
  double dropout = 0;
  bool additive_mask = false;

  template <class V>
  void visit(V& v) {
    v("num_heads", num_heads, "heads", between(1, kMostChannels));
    v("num_kv_heads", num_kv_heads, "heads of keys and values, shared evenly; 0: num_heads", between(0, kMostChannels));
    v("head_dim", head_dim, "width of a head; 0: d_model / num_heads", between(0, kMostChannels));
    v("causal", causal, "a token sees no later one; false: it sees its whole document, and there is no state");
    v("qkv_bias", qkv_bias, "bias on the projections to q, k and v");
    v("out_bias", out_bias, "bias on the output projection");
    v("rope_fraction", rope_fraction, "part of a head's channels that carry rotary positions; 0: none", between(0, 1));
    v("rope_base", rope_base, "base of the rotary frequencies", positive_number());
    v("qk_norm", qk_norm, "RMSNorm over each head of q and of k");
    v("qk_norm_eps", qk_norm_eps, "of that RMSNorm", number_from_zero());
    v("dropout", dropout, "on the attention probabilities while training", between(0, 0.999));
    v("additive_mask", additive_mask, "add -10000 to hidden scores (zoology) instead of leaving them out");
  }
};

class SoftmaxMixer : public SequenceMixer {
 protected:
  // window: visible keys including the query's own; 0: all.
  SoftmaxMixer(const SoftmaxOptions& options, int64_t window, const Scope& scope, const MixerSetup& setup);

  MixerOutput run(const Value& x, const Context& ctx, MixerState* state) override;
  MixerOutput run_outputs(const Value& x, const Context& ctx, MixerState* state) override;
  bool resets(const Layout&) const override { return true; }

  // Keys and values that may be visible.
  struct Keys {
    Value k, v;                     // [B, S, Hkv, D]
    std::vector<int64_t> position;  // [B, S] in the document, by which they are rotated; -1 where there is no key
    std::vector<int64_t> place;     // [B, S] in the row, where it holds several documents; else empty
  };
  // Adds T new keys and values, that go on from the state's, to it.
  virtual Keys remember(MixerState& state, Value k, Value v, const std::vector<int64_t>& new_pos) const = 0;
  // The slot of the first of `kept` keys in a cache of `slots`.
  virtual int64_t first_slot(int64_t kept, int64_t slots) const = 0;

  // Of so many keys: "k" and "v" [S, Hkv, D] and "key_pos" [S], -1 where there is none.
  MixerTraits softmax_traits() const;
  std::vector<StateArray> cache(int64_t slots) const;

 private:
  // Where the tokens of a pass with a layout stand; [B, T] each, -1 for padding. Places count over the row, behind what
  // its state has read.
  struct Places {
    std::vector<int64_t> position;     // in the document
    std::vector<int64_t> place;        // in the row
    std::vector<int64_t> first, last;  // the places that the token's query sees
  };
  Places places_in(const Layout& layout, const MixerState* state) const;
  // As remember, for rows of documents: what stays is of the last one of each row.
  Keys remember_documents(MixerState& state, const Value& k, const Value& v, const Layout& layout,
                          const Places& at) const;

  MixerOutput mix(const Value& x, const Context& ctx, MixerState* state, const std::vector<int64_t>& outputs) const;
  Value rotated(const Value& x, const Value& positions) const;

  SoftmaxOptions options_;
  int64_t window_;
  int64_t kv_heads_;
  int64_t head_dim_;
  Linear wqkv_, out_proj_;
  Norm norm_q_, norm_k_;
};

}  // namespace rebased
