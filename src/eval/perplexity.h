#pragma once

#include <cstdint>
#include <functional>

#include "data/text_shards.h"
#include "nn/sequence_model.h"

namespace rebased {

struct PerplexityOptions {
  int64_t window = 1024;     // ids a window
  bool carry_state = false;  // each window continues from the state that the one before left; else from nothing
  int64_t batch = 8;         // windows a pass; with carry_state they come one by one
  std::function<void(int64_t done, int64_t total)> progress{};  // ids; may be null
};

struct PerplexityScore {
  int64_t predicted = 0;    // ids: every one of the text but the first
  double nll = 0;           // sum of -log p, nats
  int64_t state_bytes = 0;  // the most that the state held for one row after a window, of the real arrays

  double perplexity() const;
  double bits_per_id() const;  // of a byte model: bits per byte
};

// What evaluate_perplexity refuses, before anything is computed. Throws ConfigError for a text of fewer than 2 ids, a
// vocabulary without the 256 bytes, a window or batch below 1, a pass beyond the memory, and windows (with carry_state:
// a text) longer than the model can take.
void check_perplexity(const SequenceModel& model, const ByteText& text, const PerplexityOptions& options = {});

// How well `model`, whose parameters lie on `engine`, predicts a text: every id but the first exactly once, in
// sequential windows. Works on any engine; where the engine records gradients, the caller switches that off. Throws as
// check_perplexity does, and NotFiniteError when a loss is infinite or NaN.
PerplexityScore evaluate_perplexity(SequenceModel& model, Engine& engine, const ByteText& text,
                                    const PerplexityOptions& options = {});

}  // namespace rebased
