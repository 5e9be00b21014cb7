#include "runtime/session.h"

#include <algorithm>

#include "base/error.h"
#include "nn/token_limit.h"
#include "runtime/fingerprint.h"

namespace rebased {

Session::Session(LoadedModel& model, int64_t prefill_chunk)
    : model_(&model), prefill_chunk_(prefill_chunk), limit_(token_limit(model.model())) {
  if (prefill_chunk < 1) throw ConfigError("prefill_chunk: expected at least 1, found {}", prefill_chunk);
  reset();
}

void Session::check_room(int64_t more) const {
  if (limit_ > 0 && more > limit_ - tokens_) {
    throw ShapeError("{}: {} tokens after {} are more than the {} that the model can take", model_->path(), more,
                     tokens_, limit_);
  }
}

std::span<const float> Session::feed(std::span<const int32_t> tokens) {
  require_language_model(model_->model().config(), model_->path());
  const int64_t vocab_size = model_->model().config().vocab_size;
  if (tokens.empty()) throw ShapeError("{}: at least one token is needed, found none", model_->path());
  for (const int32_t token : tokens) {
    if (token < 0 || token >= vocab_size) {
      throw ShapeError("{}: token {} is outside of the vocabulary of {}", model_->path(), token, vocab_size);
    }
  }
  check_room(static_cast<int64_t>(tokens.size()));

  Value last;
  for (size_t begin = 0; begin < tokens.size();) {
    const size_t length = std::min(tokens.size() - begin, static_cast<size_t>(prefill_chunk_));
    last = pass(tokens.subspan(begin, length), state_);
    begin += length;
  }
  logits_ = model_->model().logits(last);
  tokens_ += static_cast<int64_t>(tokens.size());
  return logits();
}

std::span<const float> Session::logits() const {
  return logits_ ? logits_.engine().host_view(logits_) : std::span<const float>();
}

// The hidden values of the last of `tokens`, [1, 1, C].
Value Session::pass(std::span<const int32_t> tokens, ModelState& state) const {
  const auto T = static_cast<int64_t>(tokens.size());
  const Value ids = model_->engine().from_host(tokens.data(), DType::kI32, Shape({1, T}), DType::kI64);
  const Value hidden = model_->model().hidden(ids, Context{}, &state);
  return slice(hidden, 1, T - 1, 1);
}

void Session::resume(const StateFile& file) {
  const SequenceModel& model = model_->model();
  const int64_t V = model.config().vocab_size;
  if (const std::string own = fingerprint(model); file.model() != own) {
    throw FormatError(
        "{}: it is the state of another model, or of other weights: expected the fingerprint {}, found {}", file.path(),
        own, file.model());
  }
  if (file.rows() != 1) throw FormatError("{}: expected the state of one row, found {}", file.path(), file.rows());
  const int64_t seen = file.positions().front();
  if (limit_ > 0 && seen > limit_) {
    throw FormatError("{}: it has seen {} tokens, more than the {} that the model can take", file.path(), seen, limit_);
  }
  if (!file.logits() || file.logits()->shape != Shape({1, V})) {
    throw FormatError("{}: logits: expected [1, {}], found {}", file.path(), V,
                      file.logits() ? file.logits()->shape.str() : "none");
  }
  std::vector<const SequenceMixer*> mixers;
  for (const auto& block : model.blocks()) mixers.push_back(&block->mixer());
  state_ = file.state(model_->engine(), mixers);
  tokens_ = seen;
  logits_ = model_->engine().from_host(file.logits()->data.data(), DType::kF32, Shape({1, 1, V}), DType::kF32);
}

SavedState Session::saved() const {
  if (!logits_) throw ShapeError("{}: a session that has seen no token has no state to save", model_->path());
  return {.model = fingerprint(model_->model()), .state = state_.clone(), .logits = {logits().begin(), logits().end()}};
}

Session Session::clone() const {
  Session copy(*model_, prefill_chunk_);
  copy.tokens_ = tokens_;
  copy.state_ = state_.clone();
  copy.logits_ = logits_;
  return copy;
}

void Session::reset() {
  state_ = model_->model().initial_state(model_->engine(), 1);
  tokens_ = 0;
  logits_ = {};
}

}  // namespace rebased
