#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/limits.h"
#include "config/options.h"
#include "nn/layers.h"
#include "nn/model.h"

namespace rebased {

struct ModelConfig;

// What a model answers.
struct HeadOptions {
  std::string type = "tokens";
  int64_t classes = 0;
  std::string pooling = "last";

  template <class V>
  void visit(V& v) {
    v("type", type, "tokens: an id for each position; labels: a label for each position; class: a class for each row",
      one_of({"tokens", "labels", "class"}));
    v("classes", classes, "labels and class: how many there are", between(0, kMostIds));
    v("pooling", pooling, "class: the position that stands for a row's document, or the mean of all of them",
      one_of({"last", "first", "mean"}));
  }
};

// What is asked of a pass over B rows of T tokens.
struct Question {
  int64_t B = 0, T = 0;
  std::span<const int64_t> targets;  // negative where nothing is asked
  const Layout* layout = nullptr;    // null: every row one document
};

// The head of a model: final norm and a row of weights for each answer, from the stream [B, T, C] to a loss.
class Head {
 public:
  virtual ~Head() = default;
  // The trunk's output at positions in [B * T], ascending: [N, C]; at all of them where `positions` is empty. Called
  // once.
  using Hidden = std::function<Value(const std::vector<int64_t>& positions)>;
  // Throws ShapeError where the targets do not fit or nothing is asked.
  virtual ModelLoss loss(const Question& question, const Hidden& hidden) const = 0;

  Value logits(const Value& hidden) const { return linear(norm_(hidden), weight_->value); }  // [..., C] -> [..., V]

 protected:
  Head(const ModelConfig& config, const Scope& scope);
  void set_weight(const Param* weight) { weight_ = weight; }
  Value normed(const Value& hidden) const { return norm_(hidden); }
  // The mean cross-entropy of normed rows [N, C].
  ModelLoss cross_entropy_of(const Value& rows, std::vector<int64_t> positions, std::span<const int64_t> targets) const;

 private:
  Norm norm_;
  const Param* weight_ = nullptr;
};

// table: the input's, or null. Throws ConfigError for an option that cannot take effect.
std::unique_ptr<Head> make_head(const ModelConfig& config, const Scope& scope, const Param* table);

}  // namespace rebased
