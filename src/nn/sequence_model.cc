#include "nn/sequence_model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "engine/engine.h"
#include "nn/positions.h"

namespace rebased {

SequenceModel::SequenceModel(ModelConfig config) : config_(std::move(config)) {
  const double depth_std = config_.init_std / std::sqrt(2.0 * static_cast<double>(config_.n_layers));
  const Scope root(parameters(), "", config_.init_std, config_.rescale_residual ? depth_std : config_.init_std);
  const Scope embeddings = root.child("embeddings");
  input_ = make_input(config_, embeddings);
  if (config_.max_tokens > 0) {
    position_embeddings_ = &embeddings.param("position_embeddings.weight", Shape({config_.max_tokens, config_.d_model}),
                                             init::normal(config_.init_std));
  }
  trunk_ = std::make_unique<Trunk>(config_, root);
  head_ = make_head(config_, root, input_->table());
}

namespace {

// Whether each of B rows of positions is the first one, as in training: then the table is read once.
bool rows_alike(const std::vector<int64_t>& positions, int64_t B) {
  const auto T = static_cast<std::ptrdiff_t>(positions.size()) / B;
  return std::equal(positions.begin() + T, positions.end(), positions.begin());
}

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

void check_tokens_of(const Shape& shape) {
  const Dims dims = Dims("model").check("tokens", shape, "B T");
  if (dims["T"] < 1 || dims["B"] < 1) throw ShapeError("[model] tokens: at least one is needed, found {}", shape.str());
}

Context with_layout(const Context& ctx, const Batch& batch) {
  Context own = ctx;
  if (batch.layout) own.layout = &*batch.layout;
  return own;
}

}  // namespace

Value SequenceModel::placed(const Value& x, const Context& ctx, const ModelState* state) const {
  if (position_embeddings_ == nullptr) return x;
  const int64_t B = x.size(0), T = x.size(1), C = config_.d_model;
  std::vector<int64_t> positions = host_positions(B, T, ctx, state != nullptr ? &state->layers.front() : nullptr);
  for (int64_t& position : positions) {
    position = std::max<int64_t>(position, 0);  // padding takes any
    if (position >= config_.max_tokens) {
      throw ShapeError("token {} is beyond the model's position table of {} tokens", position + 1, config_.max_tokens);
    }
  }
  const int64_t rows = rows_alike(positions, B) ? 1 : B;
  const Value ids = x.engine().from_host(positions.data(), DType::kI64, Shape({rows * T}), DType::kI64);
  const Value places = embedding(ids, position_embeddings_->value);
  const Shape flat = rows == 1 ? Shape({T * C}) : Shape({B, T * C});
  return reshape(add(reshape(x, Shape({B, T * C})), reshape(places, flat)), x.shape());
}

Value SequenceModel::look_up(const Value& tokens) const {
  if (input_->table() == nullptr) throw ShapeError("[model] tokens: this model reads features");
  check_tokens_of(tokens.shape());
  return embedding(tokens, input_->table()->value);
}

Value SequenceModel::hidden(const Batch& batch, const Context& ctx, ModelState* state, Value* aux_loss) {
  const Context own = with_layout(ctx, batch);
  check_tokens_of(input_->extents(batch));
  return trunk_->forward(placed(input_->embed(batch, engine()), own, state), own, state, aux_loss);
}

Value SequenceModel::hidden(const Value& tokens, const Context& ctx, ModelState* state, Value* aux_loss) {
  return trunk_->forward(placed(look_up(tokens), ctx, state), ctx, state, aux_loss);
}

ModelLoss SequenceModel::loss(const Batch& batch, const Context& ctx, ModelState* state) {
  check_tokens_of(input_->extents(batch));
  return answer(input_->embed(batch, engine()), batch.targets, with_layout(ctx, batch), state);
}

ModelLoss SequenceModel::loss(const Value& tokens, std::span<const int64_t> targets, const Context& ctx,
                              ModelState* state) {
  return answer(look_up(tokens), targets, ctx, state);
}

// What no target reads is left out: from the last mixer's queries on where every row has as many targets and nobody
// observes, else from the final norm on.
ModelLoss SequenceModel::answer(const Value& x, std::span<const int64_t> targets, const Context& ctx,
                                ModelState* state) {
  const int64_t B = x.size(0), T = x.size(1), C = config_.d_model;
  Value aux_loss;
  const Head::Hidden hidden = [&](const std::vector<int64_t>& positions) {
    Context asked = ctx;
    if (ctx.observer == nullptr && !positions.empty()) asked.outputs = even_outputs(positions, B, T);
    const Value h = trunk_->forward(placed(x, ctx, state), asked, state, &aux_loss);
    const Value rows = reshape(h, Shape({h.shape().numel() / C, C}));
    const bool some = !positions.empty() && positions.size() < static_cast<size_t>(B * T);
    return asked.outputs.empty() && some ? select_rows(rows, positions) : rows;
  };
  ModelLoss result = head_->loss({.B = B, .T = T, .targets = targets, .layout = ctx.layout}, hidden);
  if (aux_loss) {
    result.loss = add(result.loss, aux_loss);
    result.parts.emplace_back("auxiliary", aux_loss);
  }
  return result;
}

}  // namespace rebased
