#include "nn/sequence_mixer.h"

#include <algorithm>

#include "base/error.h"
#include "base/tokens.h"
#include "nn/positions.h"

namespace rebased {
namespace {

void check_layout(const std::string& path, const Layout& layout, const Dims& dims, MixerTraits::Prefix prefix,
                  const MixerState* state) {
  if (layout.rows() != dims["B"] || layout.tokens() != dims["T"]) {
    throw ShapeError("[{}] the layout is of {} rows of {} tokens, x of {} of {}", path, layout.rows(), layout.tokens(),
                     dims["B"], dims["T"]);
  }
  if (layout.has_prefix() && prefix == MixerTraits::Prefix::kRefused)
    throw ConfigError("{} cannot take effect: this mixer does not support a bidirectional prefix", path);
  for (const Layout::Document& d : layout.documents()) {
    const int64_t read = state != nullptr && d.continues ? state->positions[static_cast<size_t>(d.row)] : 0;
    if (d.prefix > 0 && read > 0)
      throw ShapeError("[{}] row {} has already read {} tokens; a prefix comes first", path, d.row, read);
  }
}

// Tokens of the longest document behind the pass.
int64_t longest(const Context& ctx, int64_t T, const MixerState* state) {
  int64_t most = ctx.layout == nullptr ? T : 0;
  for (size_t b = 0; ctx.layout == nullptr && state != nullptr && b < state->positions.size(); ++b)
    most = std::max(most, state->positions[b] + T);
  if (ctx.layout == nullptr) return most;
  for (const Layout::Document& d : ctx.layout->documents()) {
    const bool continues = d.continues && state != nullptr;
    most = std::max(most, d.length + (continues ? state->positions[static_cast<size_t>(d.row)] : 0));
  }
  return most;
}

// Where padding stands between a state and the document that continues it.
bool has_late_document(const Layout& layout, const MixerState* state) {
  return std::any_of(layout.documents().begin(), layout.documents().end(), [state](const Layout::Document& d) {
    return d.continues && d.begin > 0 && state != nullptr && state->positions[static_cast<size_t>(d.row)] > 0;
  });
}

}  // namespace

MixerState SequenceMixer::initial_state(Engine& engine, int64_t batch) const {
  return MixerState(engine, batch, state_arrays(0));
}

int64_t SequenceMixer::state_bytes(int64_t batch, int64_t tokens) const {
  int64_t row = 0;
  for (const StateArray& array : state_arrays(tokens))
    row += array.shape.numel() * dtype_size(array.dtype.value_or(DType::kF32));
  return batch * row;
}

MixerOutput SequenceMixer::run_outputs(const Value& x, const Context& ctx, MixerState* state) {
  MixerOutput all = run(x, ctx, state);
  all.y = tokens_of(all.y, ctx.outputs);
  return all;
}

MixerOutput SequenceMixer::forward(const Value& x, const Context& ctx, MixerState* state) {
  const Dims dims = Dims(path_.c_str()).check("x", x.shape(), "B T C");
  if (dims["B"] < 1 || dims["T"] < 1)
    throw ShapeError("[{}] x: at least one token is needed, found {}", path_, x.shape().str());
  if (state != nullptr && state->batch() != dims["B"])
    throw ShapeError("[{}] the state has {} rows, x has {}", path_, state->batch(), dims["B"]);
  const MixerTraits can = traits();
  if (!can.causal && state != nullptr)
    throw ConfigError("{} takes no state: it sees later tokens, so that a document must come whole", path_);
  if (ctx.layout != nullptr) check_layout(path_, *ctx.layout, dims, can.prefix, state);
  check_tokens(path_.c_str(), "outputs", ctx.outputs, dims["B"], dims["T"]);
  const int64_t last = longest(ctx, dims["T"], state);
  if (can.max_tokens > 0 && last > can.max_tokens)
    throw ShapeError("[{}] token {} is beyond this mixer's limit of {} tokens", path_, last, can.max_tokens);
  if (ctx.layout != nullptr) return run_layout(x, ctx, state);
  MixerOutput output = ctx.outputs.empty() ? run(x, ctx, state) : run_outputs(x, ctx, state);
  if (state != nullptr) {
    for (int64_t& position : state->positions) position += dims["T"];
  }
  return output;
}

MixerOutput SequenceMixer::run_layout(const Value& x, const Context& ctx, MixerState* state) {
  const Layout& layout = *ctx.layout;
  const bool prefixed = layout.has_prefix() && traits().prefix == MixerTraits::Prefix::kHonoured;
  const Layout plain = layout.without_prefixes();
  Context inner = ctx;
  if (!prefixed) inner.layout = layout.is_whole() ? nullptr : &plain;
  if (inner.layout == nullptr) return forward(x, inner, state);
  std::vector<int64_t> after;
  if (state != nullptr) after = layout.after(state->positions);
  const bool whole = layout.is_whole() || (resets(*inner.layout) && !has_late_document(layout, state));
  MixerOutput output = !whole                ? run_apart(x, inner, state)
                       : ctx.outputs.empty() ? run(x, inner, state)
                                             : run_outputs(x, inner, state);
  if (state != nullptr) state->positions = std::move(after);
  return output;
}

}  // namespace rebased
