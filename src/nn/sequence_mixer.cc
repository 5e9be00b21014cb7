#include "nn/sequence_mixer.h"

#include "base/error.h"

namespace rebased {
namespace {

void refuse(const std::string& path, bool set, bool honoured, const char* what) {
  if (set && !honoured) throw ConfigError("{} cannot take effect: this mixer does not support {}", path, what);
}

}  // namespace

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
  int64_t last = dims["T"];
  if (state != nullptr) {
    for (int64_t position : state->positions) last = std::max(last, position + dims["T"]);
  }
  if (can.max_tokens > 0 && last > can.max_tokens) {
    throw ShapeError("[{}] token {} is beyond this mixer's limit of {} tokens", path_, last, can.max_tokens);
  }
  MixerOutput output = run(x, ctx, state);
  if (state != nullptr) {
    for (int64_t& position : state->positions) position += dims["T"];
  }
  return output;
}

}  // namespace rebased
