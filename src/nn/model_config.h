#pragma once

#include <string>
#include <vector>

#include "config/limits.h"
#include "config/options.h"
#include "io/model_folder.h"
#include "nn/head.h"
#include "nn/input.h"
#include "nn/sequence_mixer.h"
#include "nn/state_mixer.h"

namespace rebased {

// config.json of a model folder and the [model] table of a recipe.
struct ModelConfig {
  std::string model_type = "rebased";
  int64_t vocab_size = 8192;
  int64_t d_model = 64;
  int64_t n_layers = 2;
  int64_t max_tokens = 0;
  std::vector<Json> mixers = {Json{{"type", "base_conv"}}, Json{{"type", "rebased"}}};
  std::vector<StateMixerOptions> state_mixers = {StateMixerOptions{}};
  InputOptions input;
  HeadOptions head;
  std::string norm = "layer";
  double norm_eps = 1e-5;
  double final_norm_eps = 0;
  bool affine_norm = true;
  bool pre_norm = true;
  double embed_dropout = 0.1;
  double resid_dropout = 0;
  bool tie_embeddings = true;
  double init_std = 0.02;
  bool rescale_residual = true;

  template <class V>
  void visit(V& v) {
    v("model_type", model_type, "the family of the file format", one_of({"rebased"}));
    v("vocab_size", vocab_size, "number of token ids", between(1, kMostIds));
    v("d_model", d_model, "channels of the residual stream", between(1, kMostChannels));
    v("n_layers", n_layers, "blocks", between(1, kMostLayers));
    v("max_tokens", max_tokens, "rows of the learned position table and longest sequence; 0: no table, no limit",
      between(0, kMostTokens));
    v("mixers", mixers, "sequence mixers, {type = NAME, options}; layer i takes mixers[i mod length]");
    v("state_mixers", state_mixers, "feed-forward parts; layer i takes state_mixers[i mod length]");
    v("input", input, "what it reads");
    v("head", head, "what it answers");
    v("norm", norm, "layer: LayerNorm; rms: RMSNorm", one_of({"layer", "rms"}));
    v("norm_eps", norm_eps, "added to the variance", number_from_zero());
    v("final_norm_eps", final_norm_eps,
      "of the last norm; 0: norm_eps (published: its layer_norm_epsilon is this alone)", number_from_zero());
    v("affine_norm", affine_norm, "learned gain (and bias of LayerNorm) in the blocks");
    v("pre_norm", pre_norm, "normalise before each part; false: after it");
    v("embed_dropout", embed_dropout, "on the embeddings while training", between(0, 0.999));
    v("resid_dropout", resid_dropout, "on what enters the residual stream while training", between(0, 0.999));
    v("tie_embeddings", tie_embeddings, "a head of tokens is the embedding of tokens");
    v("init_std", init_std, "standard deviation of initial projections and embeddings", positive_number());
    v("rescale_residual", rescale_residual, "projections named out_proj and fc2 start smaller by sqrt(2 n_layers)");
  }
};

// Throws ConfigError "WHERE: expected a model from tokens to tokens, found one from features to class".
void require_language_model(const ModelConfig& config, std::string_view where);

// The config with every option of every mixer filled in; throws ConfigError, also for layers that cannot be built and
// for more weights than can be addressed. `where` names the document.
ModelConfig model_config_from_json(const Json& document, std::string_view where);

// Models are saved with every option. One that is missing came later, and where the tensors tell what held before, it
// is filled in from them. shape_of takes full names ("layers.0.mixer.conv.weight").
void complete_saved_config(Json& document, const ShapeOf& shape_of);

// The config of a model folder of this or an earlier version; throws ConfigError.
ModelConfig model_config_of(const ModelFolder& folder);

}  // namespace rebased
