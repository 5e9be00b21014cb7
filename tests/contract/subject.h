#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nn/sequence_mixer.h"
#include "support/torch.h"

namespace rebased::testing {

// A mixer that the contract is put to.
struct Subject {
  std::string name;
  std::function<std::unique_ptr<SequenceMixer>(const Scope&, const MixerSetup&)> build;
  double tolerance = 0;    // of float32 against float64, in units of the largest element
  bool forms = false;      // has parallel, chunked and recurrent forms
  int64_t max_tokens = 0;  // of the model it is part of
};

inline constexpr int64_t kChannels = 16;
inline constexpr double kLeastTolerance = 2e-5;  // of a subject: plain sums over tokens and channels
inline constexpr double kGradientFactor = 10;    // gradients sum over tokens and rows what outputs round once

// The mixer with parameters on one engine. Their values are a function of the parameters' names alone: the public
// initialisation plus noise on everything trainable, so that no gain is 1 and no bias 0.
struct Built {
  ParameterStore store;
  std::unique_ptr<SequenceMixer> mixer;
  Engine* engine;

  MixerState state(int64_t batch) const { return mixer->initial_state(*engine, batch); }
  Value run(const Value& x, MixerState* state = nullptr, const Context& ctx = {}) {
    return mixer->forward(x, ctx, state).y;
  }
  HostArray run(const HostArray& x, MixerState* state = nullptr, const Context& ctx = {}) {
    return read(run(write(*engine, x), state, ctx));
  }
};

enum class Leaves : uint8_t { kNone, kTrainable };
std::unique_ptr<Built> build(const Subject& subject, Engine& engine, Leaves leaves = Leaves::kNone);

// [B, T, C], the same for the same arguments.
HostArray tokens(int64_t B, int64_t T, uint64_t seed = 1);

// One engine and how near it must come to the exact result, as a factor on a subject's tolerance.
struct EngineCase {
  std::string name;
  std::unique_ptr<Engine> engine;
  double factor;
  bool composites = false;  // runs cores as torch operations
  double bound(const Subject& subject, const HostArray& exact) const;
};
EngineCase cpu_case();
EngineCase tape_case();       // our own training engine
EngineCase reference_case();  // float64: what is exact
// Float32 by our kernels and float64 by composites; none in a build without libtorch.
std::vector<EngineCase> torch_cases();

std::vector<EngineCase> every_case();
std::vector<EngineCase> trained_cases();  // whose gradients are compared with the reference's

}  // namespace rebased::testing
