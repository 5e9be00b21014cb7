#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "config/options.h"
#include "nn/context.h"
#include "store/parameters.h"
#include "store/state.h"

namespace rebased {

// What a mixer can do. The contract test holds every mixer to its word.
struct MixerTraits {
  enum class StateKind : uint8_t { kNone, kFixed, kGrowing };

  StateKind state = StateKind::kFixed;
  bool causal = true;       // no token sees a later one; else there is no state, and documents come whole
  bool exact_split = true;  // the law: outputs do not depend on how the sequence is cut into calls
  // What becomes of a prefix whose tokens see each other: it is refused, it changes nothing (convolutions beside a
  // mixer that honours it), or it is honoured.
  enum class Prefix : uint8_t { kRefused, kIndifferent, kHonoured };
  Prefix prefix = Prefix::kRefused;
  int64_t max_tokens = 0;  // longest document; 0: no limit
};

struct MixerOutput {
  Value y;         // [B, T, C]; [B, N, C] with Context::outputs
  Value aux_loss;  // scalar to be added to the loss, or empty
};

// Shape of a saved tensor; nothing when there is none of that name.
using ShapeOf = std::function<std::optional<Shape>(const std::string& name)>;

// Where a mixer is being built.
struct MixerSetup {
  int64_t d_model = 0;
  int64_t layer = 0;
  int64_t n_layers = 1;
  int64_t max_tokens = 0;  // of the model; 0: no limit
};

// Mixes information over time. Built from its options by declaring parameters; runs once they have values.
class SequenceMixer {
 public:
  explicit SequenceMixer(std::string path) : path_(std::move(path)) {}
  virtual ~SequenceMixer() = default;
  SequenceMixer(const SequenceMixer&) = delete;
  SequenceMixer& operator=(const SequenceMixer&) = delete;

  // x [B, T, C] -> y [B, T, C], T >= 1. state may be null; else the pass continues from it and advances it by T tokens.
  // With ctx.outputs y holds the outputs of these tokens alone; the state sees all of x as ever. With ctx.layout every
  // document comes out as it would alone, the first one of a row behind its state where it continues it, and the state
  // is that of the last one.
  // The law, for every split t: forward(x, s) == cat(forward(x[:t], s), forward(x[t:], s)), and equal final states.
  // Throws ShapeError, and ConfigError for a context that traits() cannot honour.
  MixerOutput forward(const Value& x, const Context& ctx, MixerState* state);

  virtual MixerTraits traits() const = 0;
  // The arrays of a state after `tokens` tokens. One that grows does so in its first dimension here, oldest token
  // first.
  virtual std::vector<StateArray> state_arrays(int64_t tokens) const = 0;
  MixerState initial_state(Engine& engine, int64_t batch) const;
  // What MixerState::bytes() of a state after `tokens` tokens says, in float32.
  int64_t state_bytes(int64_t batch, int64_t tokens) const;
  // After the optimiser's step number `step` (from 0): redraws and moving averages, random by `key` alone.
  virtual void after_step(int64_t /*step*/, uint64_t /*key*/) {}

 protected:
  virtual MixerOutput run(const Value& x, const Context& ctx, MixerState* state) = 0;
  // Whether run() resets itself where documents of ctx.layout begin, and passes over padding; else forward() runs the
  // documents apart, as rows of their own. Those that continue a state begin at token 0.
  virtual bool resets(const Layout& /*layout*/) const { return false; }
  // For ctx.outputs alone, [B, N, C]: by computing all of them, unless a mixer knows a cheaper way.
  virtual MixerOutput run_outputs(const Value& x, const Context& ctx, MixerState* state);
  const std::string& path() const { return path_; }  // "layers.1.mixer": names streams and observations

 private:
  MixerOutput run_layout(const Value& x, const Context& ctx, MixerState* state);
  MixerOutput run_apart(const Value& x, const Context& ctx, MixerState* state);

  std::string path_;
};

}  // namespace rebased
