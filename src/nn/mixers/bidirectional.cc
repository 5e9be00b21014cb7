#include "nn/mixers/bidirectional.h"

#include <fmt/format.h>

#include "base/error.h"
#include "engine/engine.h"
#include "nn/mixers/registry.h"

namespace rebased {
namespace {

// The tokens of every document of x [B, T, C] in the opposite order.
Value reversed(const Value& x, const Layout& layout) {
  const int64_t B = x.size(0), T = x.size(1);
  std::vector<int64_t> rows(static_cast<size_t>(B * T));
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<int64_t>(i);
  for (const Layout::Document& d : layout.documents()) {
    const int64_t first = d.row * T + d.begin;
    for (int64_t t = 0; t < d.length; ++t) rows[static_cast<size_t>(first + t)] = first + d.length - 1 - t;
  }
  return reshape(select_rows(reshape(x, Shape({B * T, x.size(2)})), rows), x.shape());
}

}  // namespace

void BidirectionalMixer::resolve_options(Options& options, std::string_view where) {
  options.mixer = resolve_mixer(options.mixer, fmt::format("{}.mixer", where));
}

BidirectionalMixer::BidirectionalMixer(const Options& options, const Scope& scope, const MixerSetup& setup)
    : SequenceMixer(scope.prefix()),
      forward_(build_mixer(options.mixer, scope.child("forward"), setup)),
      backward_(build_mixer(options.mixer, scope.child("backward"), setup)),
      concat_(options.join == "concat") {
  if (!forward_->traits().causal) {
    throw ConfigError("{}.mixer: {} sees later tokens already", path(), options.mixer["type"].get<std::string>());
  }
  if (concat_)
    out_proj_ = Linear(scope.child("out_proj"), 2 * setup.d_model, setup.d_model, true, scope.residual_std());
}

MixerTraits BidirectionalMixer::traits() const {
  return {.state = MixerTraits::StateKind::kNone,
          .causal = false,
          .prefix = MixerTraits::Prefix::kIndifferent,
          .max_tokens = forward_->traits().max_tokens};
}

void BidirectionalMixer::after_step(int64_t step, uint64_t key) {
  forward_->after_step(step, key);
  backward_->after_step(step, key);
}

MixerOutput BidirectionalMixer::run(const Value& x, const Context& ctx, MixerState*) {
  const Layout layout = ctx.layout != nullptr ? *ctx.layout : Layout::whole(x.size(0), x.size(1));
  Context inner = ctx;
  inner.outputs.clear();
  MixerOutput there = forward_->forward(x, inner, nullptr);
  const MixerOutput back = backward_->forward(reversed(x, layout), inner, nullptr);
  const Value both[] = {there.y, reversed(back.y, layout)};
  MixerOutput joined{concat_ ? out_proj_(concat(both, -1)) : add(both[0], both[1]), there.aux_loss};
  if (back.aux_loss) joined.aux_loss = joined.aux_loss ? add(joined.aux_loss, back.aux_loss) : back.aux_loss;
  return joined;
}

}  // namespace rebased
