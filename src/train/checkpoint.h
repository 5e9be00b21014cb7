#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "config/limits.h"
#include "nn/sequence_model.h"
#include "record/score.h"
#include "text/tokenizer.h"
#include "train/optimizer.h"

namespace rebased {

// What a run must remember besides weights and moments: everything else is a function of the recipe and the step.
struct TrainerState {
  int64_t step = 0;  // optimiser steps done
  double best = 0;   // by the score that the run is judged by
  int64_t best_step = 0;
  double last = 0;     // of the newest evaluation
  double seconds = 0;  // trained so far
  bool finished = false;

  template <class V>
  void visit(V& v) {
    v("step", step, "optimiser steps done", between(0, kMostSteps));
    v("best", best, "the best evaluation by the data's first score", any_value<double>());
    v("best_step", best_step, "the step it was measured at", between(0, kMostSteps));
    v("last", last, "the newest evaluation by it", any_value<double>());
    v("seconds", seconds, "time trained so far", any_value<double>());
    v("finished", finished, "the run has ended by its own rule");
  }
};

// Writes the checkpoint as a whole (a model folder with optimizer.safetensors and trainer_state.json) or not at all, in
// place of whatever checkpoint the folder holds, complete or not. The tokenizer may be null.
void save_checkpoint(const std::filesystem::path& folder, SequenceModel& model, AdamW& optimizer,
                     const TrainerState& state, const Tokenizer* tokenizer);

// Puts weights, moments and step of a checkpoint into a model built from the same recipe. Throws FormatError naming the
// tensor or file that does not fit.
TrainerState load_checkpoint(const std::filesystem::path& folder, Engine& engine, SequenceModel& model,
                             AdamW& optimizer);

// Writes the model alone, for inference, with what it is worth, in the place that a run has for it.
void save_model(const std::filesystem::path& folder, SequenceModel& model, const Tokenizer* tokenizer,
                const Evaluation& evaluation);

// What save_model wrote with the model in the folder; nothing when there is none that can be read, or one of an earlier
// version, which did not write it.
std::optional<Evaluation> saved_evaluation(const std::filesystem::path& folder);

}  // namespace rebased
