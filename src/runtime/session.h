#pragma once

#include <cstdint>
#include <span>

#include "runtime/loaded_model.h"
#include "runtime/state_file.h"

namespace rebased {

// One sequence being read or written by a model: the state after the tokens so far and the logits of the next one. A
// value in all but copying: clone() is expensive and says so. The model must outlive it.
class Session {
 public:
  static constexpr int64_t kPrefillChunk = 512;

  // Tokens are fed in passes of at most `prefill_chunk`, which bounds memory. Throws ConfigError unless it is at
  // least 1.
  explicit Session(LoadedModel& model, int64_t prefill_chunk = kPrefillChunk);
  Session(Session&&) = default;
  Session& operator=(Session&&) = default;

  // Continues the sequence by one or more tokens; the logits [V] of what follows, valid until the next call. Throws
  // ShapeError, and then nothing has changed, for no tokens, an id outside of the vocabulary, or more tokens than the
  // model can take.
  std::span<const float> feed(std::span<const int32_t> tokens);
  std::span<const float> step(int32_t token) { return feed(std::span(&token, 1)); }

  // Goes on where a state file ends, in place of what was seen. Throws FormatError, and then nothing has changed, for
  // the state of another model or of other than one row, for one that does not fit, and for one without logits.
  void resume(const StateFile& file);
  // What a state file holds of the tokens so far; at least one must have been seen.
  SavedState saved() const;

  // Throws ShapeError when `more` tokens do not fit behind those seen.
  void check_room(int64_t more) const;

  LoadedModel& model() const { return *model_; }
  int64_t tokens() const { return tokens_; }              // seen so far
  std::span<const float> logits() const;                  // of the last feed; empty before the first
  int64_t state_bytes() const { return state_.bytes(); }  // held by the real arrays
  Session clone() const;
  void reset();  // as if nothing had been seen

 private:
  Value pass(std::span<const int32_t> tokens, ModelState& state) const;

  LoadedModel* model_;
  int64_t prefill_chunk_;
  int64_t limit_;  // longest sequence; 0: none
  int64_t tokens_ = 0;
  ModelState state_;
  Value logits_;
};

}  // namespace rebased
