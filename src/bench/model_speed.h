#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bench/scaling.h"
#include "bench/timing.h"
#include "runtime/loaded_model.h"

namespace rebased {

// The paper's 147M-parameter ReBased (arXiv:2402.10644, Table 8), with random weights: enough for speed.
Json paper_model_config();

// A model with random weights in memory. Throws ConfigError; `where` names the document in its message.
std::unique_ptr<LoadedModel> random_model(const Json& config, const std::string& where,
                                          std::optional<CpuEngine::Packing> weights = {});

// One pass of one token for each of `rows` sequences, logits included, at one depth of context.
struct DecodeSpeed {
  int64_t rows = 0;
  int64_t position = 0;  // tokens before it
  Timing step;           // seconds
  double bytes = 0;      // weights that a token reads and states
  double read = 0;       // bytes a second that the machine reads, in the same rounds
  double tokens_per_second() const { return static_cast<double>(rows) / step.median; }
  double bandwidth() const { return bytes / step.median; }
};
DecodeSpeed measure_decode(LoadedModel& model, int64_t rows, int64_t position, const TimingOptions& options);

// Reading `tokens` tokens in passes of Session::kPrefillChunk, logits of the last one included.
struct PrefillSpeed {
  int64_t tokens = 0;
  Timing all;
  double operations = 0;  // of the products with weights
  double gemm = 0;        // operations a second of product_probe, in the same rounds
  std::optional<Scaling> scaling{};
  double tokens_per_second() const { return static_cast<double>(tokens) / all.median; }
  double share() const { return operations / all.median / gemm; }
};
PrefillSpeed measure_prefill(LoadedModel& model, int64_t tokens, const TimingOptions& options);

// Time of reading `tokens` tokens behind `behind` others over that at the start, both in turn: 1 where cost is linear.
// The others are read once.
double measure_prefill_growth(LoadedModel& model, int64_t tokens, int64_t behind, const TimingOptions& options);

}  // namespace rebased
