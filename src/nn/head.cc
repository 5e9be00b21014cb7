#include "nn/head.h"

#include "base/error.h"
#include "cores/linear_attention/linear_attention.h"
#include "engine/engine.h"
#include "nn/model_config.h"

namespace rebased {
namespace {

std::vector<int64_t> asked_positions(std::span<const int64_t> targets, int64_t expected) {
  if (static_cast<int64_t>(targets.size()) != expected)
    throw ShapeError("[head] targets: expected {}, found {}", expected, targets.size());
  std::vector<int64_t> positions;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] >= 0) positions.push_back(static_cast<int64_t>(i));
  }
  if (positions.empty()) throw ShapeError("[head] targets: nothing is asked, all {} are negative", targets.size());
  return positions;
}

// An answer for every position: ids of tokens by the input's table or by weights of its own, or labels.
class PositionHead : public Head {
 public:
  PositionHead(const ModelConfig& config, const Scope& scope, const Param* table) : Head(config, scope) {
    const bool tokens = config.head.type == "tokens";
    const int64_t answers = tokens ? config.vocab_size : config.head.classes;
    const bool shared = tokens && config.tie_embeddings && table != nullptr;
    set_weight(shared ? table
                      : &scope.matrix(tokens ? "lm_head.weight" : "head.weight", Shape({answers, config.d_model}),
                                      init::normal(config.init_std)));
  }

  ModelLoss loss(const Question& question, const Hidden& hidden) const override {
    std::vector<int64_t> positions = asked_positions(question.targets, question.B * question.T);
    const Value rows = normed(hidden(positions));
    return cross_entropy_of(rows, std::move(positions), question.targets);
  }
};

// A class for every row, of its last document.
class ClassHead : public Head {
 public:
  ClassHead(const ModelConfig& config, const Scope& scope) : Head(config, scope), pooling_(config.head.pooling) {
    set_weight(
        &scope.matrix("head.weight", Shape({config.head.classes, config.d_model}), init::normal(config.init_std)));
  }

  ModelLoss loss(const Question& question, const Hidden& hidden) const override {
    std::vector<int64_t> asked = asked_positions(question.targets, question.B);
    const std::vector<int64_t> places = places_of(question, asked);
    const Value rows =
        pooling_ == "mean" ? select_rows(running_mean(question, normed(hidden({}))), places) : normed(hidden(places));
    return cross_entropy_of(rows, std::move(asked), question.targets);
  }

 private:
  // Of each asked row the position in [B * T] that is read: with `mean` the last, where the running mean is that of
  // all.
  std::vector<int64_t> places_of(const Question& question, const std::vector<int64_t>& asked) const {
    const Layout layout = question.layout != nullptr ? *question.layout : Layout::whole(question.B, question.T);
    std::vector<int64_t> of_row(static_cast<size_t>(question.B), -1), places;
    for (const Layout::Document& d : layout.documents()) {
      of_row[static_cast<size_t>(d.row)] = d.row * question.T + d.begin + (pooling_ == "first" ? 0 : d.length - 1);
    }
    for (const int64_t row : asked) {
      places.push_back(of_row[static_cast<size_t>(row)]);
      if (places.back() < 0) throw ShapeError("[head] targets: row {} has a class but no tokens", row);
    }
    return places;
  }

  // [B * T, C] -> the same; a document's tokens up to each, which is linear attention with weights of 1.
  static Value running_mean(const Question& question, const Value& x) {
    const int64_t B = question.B, T = question.T, C = x.size(-1);
    Engine& engine = x.engine();
    const Value ones = engine.full(Shape({B, T, 1, 1}), x.dtype(), 1);
    Value positions;
    if (question.layout != nullptr) {
      const std::vector<int64_t> places = question.layout->positions();
      positions = engine.from_host(places.data(), DType::kI64, Shape({B, T}), DType::kI64);
    }
    return reshape(
        linear_attention(ones, ones, reshape(x, Shape({B, T, 1, C})), {.scale = 1, .eps = 0}, nullptr, positions),
        Shape({B * T, C}));
  }

  std::string pooling_;
};

}  // namespace

Head::Head(const ModelConfig& config, const Scope& scope)
    : norm_(scope.child("ln_f"), norm_kind(config.norm), config.d_model,
            config.final_norm_eps > 0 ? config.final_norm_eps : config.norm_eps) {}

ModelLoss Head::cross_entropy_of(const Value& rows, std::vector<int64_t> positions,
                                 std::span<const int64_t> targets) const {
  std::vector<int64_t> answers;
  for (const int64_t position : positions) answers.push_back(targets[static_cast<size_t>(position)]);
  CrossEntropy found = cross_entropy(rows, weight_->value, answers);
  return {.loss = found.loss,
          .parts = {{"cross_entropy", found.loss}},
          .positions = std::move(positions),
          .nll = std::move(found.nll),
          .best = std::move(found.best)};
}

std::unique_ptr<Head> make_head(const ModelConfig& config, const Scope& scope, const Param* table) {
  const HeadOptions &options = config.head, defaults;
  const bool tokens = options.type == "tokens", of_rows = options.type == "class";
  if (tokens && options.classes != 0) throw ConfigError("head.classes cannot take effect with tokens");
  if (!tokens && options.classes == 0) throw ConfigError("head.classes: {} needs their number, found 0", options.type);
  if (!of_rows && options.pooling != defaults.pooling)
    throw ConfigError("head.pooling cannot take effect with {}", options.type);
  if (of_rows) return std::make_unique<ClassHead>(config, scope);
  return std::make_unique<PositionHead>(config, scope, table);
}

}  // namespace rebased
