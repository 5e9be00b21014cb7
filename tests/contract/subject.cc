#include "contract/subject.h"

#include <algorithm>
#include <utility>

#include "engine/cpu/cpu_engine.h"
#include "engine/reference/reference_engine.h"
#include "engine/tape/tape_engine.h"

namespace rebased::testing {
namespace {

constexpr double kNoise = 0.3;  // keeps activations near one at 16 channels
// float64 rounds 2^29 times finer; the factor leaves room for a longer chain of sums.
constexpr double kDoubleFactor = 1e-8;

HostArray initial_values(const ParamSpec& spec) {
  std::vector<float> data(static_cast<size_t>(spec.shape.numel()));
  Rng rng(derive_key(1, "init:" + spec.name));
  spec.init(data, spec.shape, rng);
  HostArray values{spec.shape, {data.begin(), data.end()}};
  if (!spec.trainable) return values;
  const HostArray noise = HostArray::normal(spec.shape, derive_key(2, spec.name), kNoise);
  for (size_t i = 0; i < values.data.size(); ++i) values.data[i] = static_cast<float>(values.data[i] + noise.data[i]);
  return values;
}

}  // namespace

std::unique_ptr<Built> build(const Subject& subject, Engine& engine, Leaves leaves) {
  auto built = std::make_unique<Built>();
  built->engine = &engine;
  const MixerSetup setup{.d_model = kChannels, .max_tokens = subject.max_tokens};
  built->mixer = subject.build(Scope(built->store, "mixer", 0.02, 0.02), setup);
  for (Param& param : built->store.params()) {
    param.value = write(engine, initial_values(param.spec));
    if (param.spec.matrix && leaves == Leaves::kNone) param.value = engine.matrix(param.value);
    if (leaves == Leaves::kTrainable && param.spec.trainable) track(param.value);
  }
  return built;
}

HostArray tokens(int64_t B, int64_t T, uint64_t seed) {
  return HostArray::normal(Shape({B, T, kChannels}), derive_key(seed, "tokens"));
}

double EngineCase::bound(const Subject& subject, const HostArray& exact) const {
  return factor * subject.tolerance * std::max(exact.max_abs(), 0.01);
}

EngineCase cpu_case() { return {"cpu", std::make_unique<CpuEngine>(), 1}; }
EngineCase tape_case() { return {"cpu training", std::make_unique<TapeEngine>(), 1}; }
EngineCase reference_case() { return {"reference", std::make_unique<ReferenceEngine>(), kDoubleFactor}; }

std::vector<EngineCase> torch_cases() {
  std::vector<EngineCase> cases;
  if (auto kernels = make_torch_engine(DType::kF32)) cases.push_back({"torch float32", std::move(kernels), 1});
  if (auto composites = make_torch_engine(DType::kF64)) {
    cases.push_back({"torch float64", std::move(composites), kDoubleFactor, true});
  }
  return cases;
}

std::vector<EngineCase> trained_cases() {
  std::vector<EngineCase> cases = torch_cases();
  cases.push_back(tape_case());
  return cases;
}

std::vector<EngineCase> every_case() {
  std::vector<EngineCase> cases = trained_cases();
  cases.push_back(cpu_case());
  cases.push_back(reference_case());
  return cases;
}

}  // namespace rebased::testing
