#include "nn/mixers/registry.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/suggest.h"
#include "nn/mixers/attention.h"
#include "nn/mixers/base_conv.h"
#include "nn/mixers/based.h"
#include "nn/mixers/bidirectional.h"
#include "nn/mixers/identity.h"
#include "nn/mixers/linear_attention.h"
#include "nn/mixers/rebased.h"
#include "nn/mixers/retnet.h"
#include "nn/mixers/short_conv.h"
#include "nn/mixers/sliding_window.h"

namespace rebased {

const std::vector<MixerEntry>& mixer_registry() {
  static const std::vector<MixerEntry> entries = {
      mixer_entry<RebasedMixer>("rebased", "linear attention with a learnable quadratic kernel (arXiv:2402.10644)"),
      mixer_entry<BasedMixer>("based", "linear attention with the second-order Taylor kernel (arXiv:2402.18668)"),
      mixer_entry<LinearAttentionMixer>("linear_attention",
                                        "linear attention with a choice of feature maps (arXiv:2006.16236)"),
      mixer_entry<RetNetMixer>("retnet", "retention: linear attention that decays by head (arXiv:2307.08621)"),
      mixer_entry<AttentionMixer>("attention", "softmax attention: RoPE, grouped heads, qk-norm (arXiv:1706.03762)"),
      mixer_entry<SlidingWindowMixer>("sliding_window", "softmax attention over a fixed number of last keys"),
      mixer_entry<ShortConvMixer>("short_conv", "causal depthwise convolution over a few tokens"),
      mixer_entry<BaseConvMixer>("base_conv", "gated convolution, as in Zoology (arXiv:2312.04927) or in Based"),
      mixer_entry<BidirectionalMixer>("bidirectional", "a mixer that reads forward and one that reads backward"),
      mixer_entry<IdentityMixer>("identity", "no mixing over time"),
  };
  return entries;
}

const MixerEntry& find_mixer(std::string_view name, std::string_view where) {
  std::vector<std::string> names;
  for (const MixerEntry& entry : mixer_registry()) {
    if (entry.name == name) return entry;
    names.push_back(entry.name);
  }
  throw ConfigError("{}: unknown mixer '{}'{}", where, name, did_you_mean(name, names));
}

Json resolve_mixer(const Json& mixer, const std::string& where) {
  if (!mixer.is_object() || !mixer.contains("type") || !mixer["type"].is_string()) {
    throw ConfigError("{}: expected a table with type = \"NAME\", found {}", where, json_text(mixer));
  }
  const auto name = mixer["type"].get<std::string>();
  Json options = mixer;
  options.erase("type");
  Json resolved{{"type", name}};
  resolved.update(find_mixer(name, where + ".type").resolve(options, where));
  return resolved;
}

std::unique_ptr<SequenceMixer> build_mixer(const Json& mixer, const Scope& scope, const MixerSetup& setup) {
  Json options = mixer;
  const auto name = options["type"].get<std::string>();
  options.erase("type");
  return find_mixer(name, scope.prefix()).build(options, scope.prefix(), scope, setup);
}

}  // namespace rebased
