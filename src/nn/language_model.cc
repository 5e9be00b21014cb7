#include "nn/language_model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "cores/dropout/dropout.h"
#include "engine/engine.h"
#include "nn/positions.h"

namespace rebased {

int64_t ModelState::bytes() const {
  int64_t total = 0;
  for (const MixerState& layer : layers) total += layer.bytes();
  return total;
}

ModelState ModelState::clone() const {
  ModelState result;
  for (const MixerState& layer : layers) result.layers.push_back(layer.clone());
  return result;
}

ModelState ModelState::select(std::span<const int64_t> rows) const {
  ModelState result;
  for (const MixerState& layer : layers) result.layers.push_back(layer.select(rows));
  return result;
}

ModelState ModelState::join(std::span<const ModelState> states) {
  ModelState result;
  for (size_t layer = 0; layer < (states.empty() ? 0 : states.front().layers.size()); ++layer) {
    std::vector<MixerState> same;
    for (const ModelState& state : states) {
      if (state.layers.size() != states.front().layers.size())
        throw ShapeError("states of {} and {} layers cannot be joined", states.front().layers.size(),
                         state.layers.size());
      same.push_back(state.layers[layer]);
    }
    result.layers.push_back(MixerState::join(same));
  }
  return result;
}

void ModelState::reset_rows(std::span<const int64_t> rows) {
  for (MixerState& layer : layers) layer.reset_rows(rows);
}

void ModelState::detach() {
  for (MixerState& layer : layers) layer.detach();
}

LanguageModel::LanguageModel(ModelConfig config) : config_(std::move(config)) {
  const double depth_std = config_.init_std / std::sqrt(2.0 * static_cast<double>(config_.n_layers));
  const Scope root(parameters_, "", config_.init_std, config_.rescale_residual ? depth_std : config_.init_std);
  const Scope embeddings = root.child("embeddings");
  const Shape table({config_.vocab_size, config_.d_model});
  word_embeddings_ = &embeddings.matrix("word_embeddings.weight", table, init::normal(config_.init_std));
  if (config_.max_tokens > 0) {
    position_embeddings_ = &embeddings.param("position_embeddings.weight", Shape({config_.max_tokens, config_.d_model}),
                                             init::normal(config_.init_std));
  }
  for (int64_t layer = 0; layer < config_.n_layers; ++layer) {
    blocks_.push_back(std::make_unique<Block>(config_, root.child(fmt::format("layers.{}", layer)), layer));
  }
  const double final_eps = config_.final_norm_eps > 0 ? config_.final_norm_eps : config_.norm_eps;
  ln_f_ = Norm(root.child("ln_f"), norm_kind(config_.norm), config_.d_model, final_eps);
  if (!config_.tie_embeddings) lm_head_ = &root.matrix("lm_head.weight", table, init::normal(config_.init_std));
}

const Value& LanguageModel::head() const { return lm_head_ != nullptr ? lm_head_->value : word_embeddings_->value; }

namespace {

// Whether each of B rows of positions is the first one, as in training: then the table is read once.
bool rows_alike(const std::vector<int64_t>& positions, int64_t B) {
  const auto T = static_cast<std::ptrdiff_t>(positions.size()) / B;
  return std::equal(positions.begin() + T, positions.end(), positions.begin());
}

}  // namespace

Value LanguageModel::embed(const Value& tokens, const Context& ctx, const ModelState* state) const {
  const Value words = embedding(tokens, word_embeddings_->value);
  if (position_embeddings_ == nullptr) return words;
  std::vector<int64_t> positions =
      host_positions(tokens.size(0), tokens.size(1), ctx, state != nullptr ? &state->layers.front() : nullptr);
  for (int64_t& position : positions) {
    position = std::max<int64_t>(position, 0);  // padding takes any
    if (position >= config_.max_tokens) {
      throw ShapeError("token {} is beyond the model's position table of {} tokens", position + 1, config_.max_tokens);
    }
  }
  const int64_t B = tokens.size(0), T = tokens.size(1), C = config_.d_model, rows = rows_alike(positions, B) ? 1 : B;
  const Value ids = tokens.engine().from_host(positions.data(), DType::kI64, Shape({rows * T}), DType::kI64);
  const Value places = embedding(ids, position_embeddings_->value);
  const Shape flat = rows == 1 ? Shape({T * C}) : Shape({B, T * C});
  return reshape(add(reshape(words, Shape({B, T * C})), reshape(places, flat)), words.shape());
}

Value LanguageModel::hidden(const Value& tokens, const Context& ctx, ModelState* state, Value* aux_loss) {
  const Dims dims = Dims("language_model").check("tokens", tokens.shape(), "B T");
  if (dims["T"] < 1 || dims["B"] < 1)
    throw ShapeError("[language_model] tokens: at least one is needed, found {}", tokens.shape().str());
  if (state != nullptr && state->layers.size() != blocks_.size()) {
    throw ShapeError("[language_model] state: expected {} layers, found {}", blocks_.size(), state->layers.size());
  }
  Context inner = ctx;
  inner.outputs.clear();
  Stream stream{embed(tokens, ctx, state), {}};
  for (size_t layer = 0; layer < blocks_.size(); ++layer) {
    MixerState* own = state != nullptr ? &state->layers[layer] : nullptr;
    stream = blocks_[layer]->forward(stream, layer + 1 < blocks_.size() ? inner : ctx, own, aux_loss);
    ctx.observe(fmt::format("layers.{}.hidden", layer), stream.hidden);
  }
  Value last =
      ctx.training ? dropout(stream.hidden, config_.resid_dropout, ctx.dropout_stream("dropout_f")) : stream.hidden;
  return stream.residual ? add(last, stream.residual) : last;
}

Value LanguageModel::logits(const Value& hidden) const { return linear(ln_f_(hidden), head()); }

namespace {

// The tokens of each row at `positions` [B * T]; none where the rows differ in how many they have, or have all.
std::vector<int64_t> even_outputs(const std::vector<int64_t>& positions, int64_t B, int64_t T) {
  const size_t N = positions.size() / static_cast<size_t>(B);
  if (positions.size() % static_cast<size_t>(B) != 0 || N == static_cast<size_t>(T)) return {};
  std::vector<int64_t> tokens(positions);
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (positions[i] / T != static_cast<int64_t>(i / N)) return {};
    tokens[i] = positions[i] % T;
  }
  return tokens;
}

}  // namespace

// What no label reads is left out: from the last mixer's queries on where every row has as many labels and nobody
// observes, else from the final norm on.
ModelLoss LanguageModel::loss(const Value& tokens, std::span<const int64_t> labels, const Context& ctx,
                              ModelState* state) {
  if (static_cast<int64_t>(labels.size()) != tokens.shape().numel()) {
    throw ShapeError("[language_model] labels: expected {}, found {}", tokens.shape().numel(), labels.size());
  }
  ModelLoss result;
  std::vector<int64_t> targets;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0) continue;
    result.positions.push_back(static_cast<int64_t>(i));
    targets.push_back(labels[i]);
  }
  if (targets.empty()) throw ShapeError("[language_model] labels: no position is labelled");
  Context asked = ctx;
  if (ctx.observer == nullptr) asked.outputs = even_outputs(result.positions, tokens.size(0), tokens.size(1));
  Value aux_loss;
  Value h = hidden(tokens, asked, state, &aux_loss);
  h = reshape(h, Shape({h.shape().numel() / config_.d_model, config_.d_model}));
  if (asked.outputs.empty() && targets.size() < labels.size()) h = select_rows(h, result.positions);
  CrossEntropy head_loss = cross_entropy(ln_f_(h), head(), targets);
  result.loss = aux_loss ? add(head_loss.loss, aux_loss) : head_loss.loss;
  result.nll = std::move(head_loss.nll);
  result.best = std::move(head_loss.best);
  return result;
}

ModelState LanguageModel::initial_state(Engine& engine, int64_t batch) const {
  ModelState state;
  for (const auto& block : blocks_) state.layers.push_back(block->mixer().initial_state(engine, batch));
  return state;
}

int64_t LanguageModel::state_bytes(int64_t batch, int64_t tokens) const {
  int64_t total = 0;
  for (const auto& block : blocks_) total += block->mixer().state_bytes(batch, tokens);
  return total;
}

void LanguageModel::after_step() {
  for (const auto& block : blocks_) block->mixer().after_step();
}

}  // namespace rebased
