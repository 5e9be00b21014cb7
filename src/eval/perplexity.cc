#include "eval/perplexity.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <span>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "eval/losses.h"
#include "eval/pass_size.h"
#include "nn/token_limit.h"

namespace rebased {
namespace {

// Windows of equal length through the model as the rows of one batch.
void score_windows(SequenceModel& model, const ByteText& text, std::span<const TextWindow> windows, ModelState& state,
                   PerplexityScore& score) {
  const auto B = static_cast<int64_t>(windows.size());
  const int64_t T = windows.front().length - 1;
  std::vector<int32_t> ids(static_cast<size_t>(T + 1));
  std::vector<int64_t> inputs(static_cast<size_t>(B * T)), labels(inputs.size());
  for (int64_t b = 0; b < B; ++b) {
    text.read(windows[static_cast<size_t>(b)].begin, T + 1, ids.data());
    std::copy(ids.begin(), ids.end() - 1, inputs.begin() + b * T);
    std::copy(ids.begin() + 1, ids.end(), labels.begin() + b * T);
  }
  const ModelLoss loss = model.loss(Batch::of_tokens(B, T, std::move(inputs), std::move(labels)), Context{}, &state);
  require_finite(loss.nll, text.name());
  for (const float nll : loss.nll) score.nll += nll;
  score.predicted += B * T;
}

// How many of the first `windows` have one length and fit a batch.
size_t batch_length(std::span<const TextWindow> windows, const PerplexityOptions& options) {
  const size_t most = options.carry_state ? 1 : std::min(windows.size(), static_cast<size_t>(options.batch));
  size_t length = 1;
  while (length < most && windows[length].length == windows.front().length) ++length;
  return length;
}

}  // namespace

void check_perplexity(const SequenceModel& model, const ByteText& text, const PerplexityOptions& options) {
  constexpr int64_t kBytes = 256;
  require_language_model(model.config(), text.name());
  const int64_t vocab_size = model.config().vocab_size, limit = token_limit(model);
  if (options.window < 1) throw ConfigError("window: expected at least 1, found {}", options.window);
  if (options.batch < 1) throw ConfigError("batch: expected at least 1, found {}", options.batch);
  if (text.size() < 2) throw ConfigError("{}: at least 2 bytes are needed, found {}", text.name(), text.size());
  if (vocab_size < kBytes)
    throw ConfigError("the model's vocabulary of {} ids does not hold the 256 bytes", vocab_size);
  const int64_t longest = options.carry_state ? text.size() - 1 : std::min(options.window, text.size() - 1);
  if (limit > 0 && longest > limit) {
    throw ConfigError("{}: {} of {} bytes is longer than the {} tokens that the model can take", text.name(),
                      options.carry_state ? "a text with carried state" : "a window", longest, limit);
  }
  const int64_t T = std::min(options.window, text.size() - 1), windows = (text.size() - 2) / T + 1;
  check_evaluation_pass("batch", options.carry_state ? 1 : std::min(options.batch, windows), T, model.config().d_model,
                        model.state_bytes(1, longest));
}

double PerplexityScore::perplexity() const { return std::exp(nll / static_cast<double>(predicted)); }
double PerplexityScore::bits_per_id() const { return nll / static_cast<double>(predicted) / std::numbers::ln2; }

PerplexityScore evaluate_perplexity(SequenceModel& model, Engine& engine, const ByteText& text,
                                    const PerplexityOptions& options) {
  check_perplexity(model, text, options);
  const std::vector<TextWindow> all = sequential_windows(text, options.window);
  PerplexityScore score;
  ModelState state;
  for (std::span<const TextWindow> left = all; !left.empty();) {
    const auto batch = left.first(batch_length(left, options));
    if (!options.carry_state || state.batch() == 0) {
      state = model.initial_state(engine, static_cast<int64_t>(batch.size()));
    }
    score_windows(model, text, batch, state, score);
    score.state_bytes = std::max(score.state_bytes, state.bytes() / state.batch());
    left = left.subspan(batch.size());
    if (options.progress) options.progress(score.predicted, text.size() - 1);
  }
  return score;
}

}  // namespace rebased
