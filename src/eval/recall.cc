#include "eval/recall.h"

#include <algorithm>
#include <bit>
#include <map>
#include <span>
#include <unordered_map>

#include "base/error.h"
#include "engine/engine.h"
#include "eval/losses.h"
#include "eval/pass_size.h"
#include "nn/token_limit.h"

namespace rebased {
namespace {

// For each position, the tokens back to the previous occurrence of its input; 0 when there is none.
std::vector<int64_t> key_distances(std::span<const int32_t> row) {
  std::unordered_map<int32_t, size_t> last;
  std::vector<int64_t> distances(row.size(), 0);
  for (size_t t = 0; t < row.size(); ++t) {
    const auto [seen, is_new] = last.try_emplace(row[t], t);
    if (!is_new) distances[t] = static_cast<int64_t>(t - seen->second);
    seen->second = t;
  }
  return distances;
}

struct Slices {
  std::map<int64_t, RecallCount> by_pairs;
  std::map<int64_t, RecallCount> by_distance;  // by the lower end of the bin
};

// The rows [begin, end) of the data through the model, counted.
void score_rows(SequenceModel& model, const TaskData& data, int64_t begin, int64_t end, RecallScore& score,
                Slices& slices) {
  const int64_t T = data.seq_len, B = end - begin;
  const std::span inputs(data.inputs.data() + begin * T, static_cast<size_t>(B * T));
  const std::vector<int64_t> labels(data.labels.begin() + begin * T, data.labels.begin() + end * T);
  std::vector<int64_t> pairs(static_cast<size_t>(B), 0);
  for (size_t i = 0; i < labels.size(); ++i) pairs[i / static_cast<size_t>(T)] += labels[i] >= 0 ? 1 : 0;
  if (std::all_of(pairs.begin(), pairs.end(), [](int64_t n) { return n == 0; })) return;

  const ModelLoss loss = model.loss(Batch::of_tokens(B, T, {inputs.begin(), inputs.end()}, labels), Context{});
  require_finite(loss.nll, "the task");
  std::vector<int64_t> distances;  // of the row that the loop is in
  int64_t row = -1;
  for (size_t i = 0; i < loss.positions.size(); ++i) {
    if (loss.positions[i] / T != row) {
      row = loss.positions[i] / T;
      distances = key_distances(inputs.subspan(static_cast<size_t>(row * T), static_cast<size_t>(T)));
    }
    const bool hit = loss.best[i] == labels[static_cast<size_t>(loss.positions[i])];
    score.all.add(hit, loss.nll[i]);
    slices.by_pairs[pairs[static_cast<size_t>(row)]].add(hit, loss.nll[i]);
    const int64_t distance = distances[static_cast<size_t>(loss.positions[i] % T)];
    if (distance > 0) {
      const auto low = static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(distance)));
      slices.by_distance[low].add(hit, loss.nll[i]);
    }
  }
}

int64_t measure_state(SequenceModel& model, Engine& engine, const TaskData& data) {
  ModelState state = model.initial_state(engine, 1);
  const Value tokens = engine.from_host(data.inputs.data(), DType::kI32, Shape({1, data.seq_len}), DType::kI64);
  model.hidden(tokens, Context{}, &state);
  return state.bytes();
}

}  // namespace

void check_recall(const SequenceModel& model, const TaskData& data, const RecallEvalOptions& options) {
  require_language_model(model.config(), "the task");
  const int64_t vocab_size = model.config().vocab_size, limit = token_limit(model);
  if (options.batch < 1) throw ConfigError("batch: expected at least 1, found {}", options.batch);
  if (data.vocab_size > vocab_size) {
    throw ConfigError("the task has {} token ids, more than the model's vocabulary of {}", data.vocab_size, vocab_size);
  }
  if (limit > 0 && data.seq_len > limit) {
    throw ConfigError("the task's rows of {} tokens are longer than the {} that the model can take", data.seq_len,
                      limit);
  }
  check_evaluation_pass("batch", std::min(options.batch, data.examples), data.seq_len, model.config().d_model, 0);
  const bool labelled = std::any_of(data.labels.begin(), data.labels.end(), [](int32_t label) { return label >= 0; });
  if (!labelled) throw ConfigError("the task asks nothing: none of its {} positions is labelled", data.labels.size());
}

void RecallCount::add(bool hit, double loss) {
  ++positions;
  correct += hit ? 1 : 0;
  nll += loss;
}

double RecallCount::accuracy() const {
  return positions > 0 ? static_cast<double>(correct) / static_cast<double>(positions) : 0;
}

double RecallCount::loss() const { return positions > 0 ? nll / static_cast<double>(positions) : 0; }

RecallScore evaluate_recall(SequenceModel& model, Engine& engine, const TaskData& data,
                            const RecallEvalOptions& options) {
  check_recall(model, data, options);
  RecallScore score;
  Slices slices;
  for (int64_t begin = 0; begin < data.examples; begin += options.batch) {
    const int64_t end = std::min(data.examples, begin + options.batch);
    score_rows(model, data, begin, end, score, slices);
    if (options.progress) options.progress(end, data.examples);
  }
  for (const auto& [pairs, count] : slices.by_pairs) score.by_pairs.push_back({pairs, pairs, count});
  for (const auto& [low, count] : slices.by_distance) score.by_distance.push_back({low, 2 * low - 1, count});
  score.state_bytes = measure_state(model, engine, data);
  return score;
}

}  // namespace rebased
