#include "nn/sequence_mixer.h"

#include "base/error.h"
#include "base/tokens.h"
#include "nn/positions.h"

namespace rebased {
namespace {

void refuse(const std::string& path, bool set, bool honoured, const char* what) {
  if (set && !honoured) throw ConfigError("{} cannot take effect: this mixer does not support {}", path, what);
}

void check_prefix(const std::string& path, const std::vector<int64_t>& prefix_len, int64_t B, int64_t T,
                  const MixerState* state) {
  if (prefix_len.size() != static_cast<size_t>(B))
    throw ShapeError("[{}] prefix_len: expected a length for each of {} rows, found {}", path, B, prefix_len.size());
  for (size_t b = 0; b < prefix_len.size(); ++b) {
    if (prefix_len[b] < 0 || prefix_len[b] > T) {
      throw ShapeError("[{}] prefix_len[{}]: the prefix must lie inside the {} tokens of this call, found {}", path, b,
                       T, prefix_len[b]);
    }
    if (state != nullptr && prefix_len[b] > 0 && state->positions[b] > 0) {
      throw ShapeError("[{}] prefix_len[{}]: row {} has already read {} tokens; a prefix comes first", path, b, b,
                       state->positions[b]);
    }
  }
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
  const MixerTraits can = traits();
  refuse(path_, static_cast<bool>(ctx.padding), can.padding, "padding");
  refuse(path_, static_cast<bool>(ctx.document_ids), can.documents, "document ids");
  refuse(path_, !ctx.prefix_len.empty(), can.prefix, "a bidirectional prefix");
  refuse(path_, static_cast<bool>(ctx.memory), can.cross_attention, "a memory sequence");
  if (state != nullptr && state->batch() != dims["B"]) {
    throw ShapeError("[{}] the state has {} rows, x has {}", path_, state->batch(), dims["B"]);
  }
  if (!ctx.prefix_len.empty()) check_prefix(path_, ctx.prefix_len, dims["B"], dims["T"], state);
  check_tokens(path_.c_str(), "outputs", ctx.outputs, dims["B"], dims["T"]);
  int64_t last = dims["T"];
  if (state != nullptr) {
    for (int64_t position : state->positions) last = std::max(last, position + dims["T"]);
  }
  if (can.max_tokens > 0 && last > can.max_tokens) {
    throw ShapeError("[{}] token {} is beyond this mixer's limit of {} tokens", path_, last, can.max_tokens);
  }
  MixerOutput output = ctx.outputs.empty() ? run(x, ctx, state) : run_outputs(x, ctx, state);
  if (state != nullptr) {
    for (int64_t& position : state->positions) position += dims["T"];
  }
  return output;
}

}  // namespace rebased
