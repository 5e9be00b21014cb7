#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "data/task.h"
#include "nn/sequence_model.h"

namespace rebased {

// Counts over some labelled positions.
struct RecallCount {
  int64_t positions = 0;
  int64_t correct = 0;  // argmax over the whole vocabulary is the label
  double nll = 0;       // sum of -log p(label), nats

  void add(bool hit, double loss);
  double accuracy() const;  // 0 when there are no positions
  double loss() const;
};

struct RecallSlice {
  int64_t low = 0;  // both ends belong to the slice
  int64_t high = 0;
  RecallCount count;
};

struct RecallScore {
  RecallCount all;  // micro average: all positions pooled
  // By the number of labelled positions of the row: its key-value pairs, where each is asked once.
  std::vector<RecallSlice> by_pairs;
  // By the tokens from the labelled position back to the previous occurrence of the same input in its row, in bins 1,
  // 2-3, 4-7, ...; positions without such an occurrence are in no bin.
  std::vector<RecallSlice> by_distance;
  int64_t state_bytes = 0;  // that the model's state holds for one row after seq_len tokens, of the real arrays
};

struct RecallEvalOptions {
  int64_t batch = 64;                                           // rows a pass
  std::function<void(int64_t done, int64_t total)> progress{};  // rows; may be null
};

// What evaluate_recall refuses, before anything is computed. Throws ConfigError for data with more ids or longer rows
// than the model can take, without any label, for a batch below 1 or a pass beyond the memory.
void check_recall(const SequenceModel& model, const TaskData& data, const RecallEvalOptions& options = {});

// Accuracy of `model`, whose parameters lie on `engine`, on every labelled position of `data`. Works on any engine;
// where the engine records gradients, the caller switches that off. Throws as check_recall does, and
// NotFiniteError when a loss is infinite or NaN.
RecallScore evaluate_recall(SequenceModel& model, Engine& engine, const TaskData& data,
                            const RecallEvalOptions& options = {});

}  // namespace rebased
