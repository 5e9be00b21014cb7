#include "bench/model_speed.h"

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"
#include "base/rng.h"
#include "bench/limits.h"
#include "engine/vocabulary.h"
#include "nn/model_size.h"
#include "runtime/session.h"

namespace rebased {
namespace {

constexpr uint64_t kSeed = 42;

std::vector<int32_t> random_tokens(int64_t n, int64_t vocab_size) {
  Rng rng(kSeed);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < n; ++i) {
    tokens.push_back(static_cast<int32_t>(rng.below(static_cast<uint64_t>(vocab_size))));
  }
  return tokens;
}

// Bytes of the parameters that every token reads whole; of tables it reads a row.
int64_t weight_bytes(LoadedModel& model) {
  int64_t bytes = 0;
  for (const Param& param : model.model().parameters().params()) {
    const bool words = param.spec.name == "embeddings.word_embeddings.weight";
    if (words && !model.model().config().tie_embeddings) continue;
    if (param.spec.name == "embeddings.position_embeddings.weight") continue;
    bytes += CpuEngine::bytes_held(param.value);
  }
  return bytes;
}

void check_prompt(LoadedModel& model, int64_t tokens) {
  const auto row = static_cast<double>(model.model().config().d_model) * sizeof(float);
  check_memory(static_cast<double>(tokens) * row, fmt::format("a prompt of {} tokens", tokens));
}

}  // namespace

Json paper_model_config() {
  const Json conv{{"type", "base_conv"}, {"form", "gated"}};
  const Json rebased{{"type", "rebased"}, {"num_heads", 12}, {"feature_dim", 16}};
  return {{"vocab_size", 50280},
          {"d_model", 768},
          {"n_layers", 18},
          {"norm", "rms"},
          {"mixers", Json::array({conv, rebased})},
          {"state_mixers", Json::array({Json{{"type", "swiglu"}, {"hidden", 1536}}})}};
}

std::unique_ptr<LoadedModel> random_model(const Json& config, const std::string& where,
                                          std::optional<CpuEngine::Packing> weights) {
  const ModelConfig resolved = model_config_from_json(config, where);
  const double parameters = parameter_count(resolved, where), least_bytes = weights ? 0.5 : 4;
  check_memory(parameters * least_bytes, fmt::format("{}: {:.0f} parameters", where, parameters));
  auto engine = std::make_unique<CpuEngine>(weights);
  auto model = std::make_unique<SequenceModel>(resolved);
  for (Param& param : model->parameters().params()) {
    if (param.spec.matrix) param.spec.init = init::uniform(0.03);  // a normal draw for each would take seconds
  }
  model->parameters().initialise(*engine, kSeed);
  return std::make_unique<LoadedModel>(where, std::move(engine), std::move(model), nullptr);
}

DecodeSpeed measure_decode(LoadedModel& model, int64_t rows, int64_t position, const TimingOptions& options) {
  SequenceModel& network = model.model();
  CpuEngine& engine = model.engine();
  const int64_t row_bytes = network.state_bytes(1, 1) + network.config().vocab_size * int64_t{sizeof(float)};
  check_memory(static_cast<double>(rows) * static_cast<double>(row_bytes), fmt::format("{} rows of states", rows));
  ModelState state = network.initial_state(engine, rows);
  const std::vector<int32_t> tokens = random_tokens(rows, network.config().vocab_size);
  auto step = [&] {
    for (MixerState& layer : state.layers) std::fill(layer.positions.begin(), layer.positions.end(), position);
    const Value ids = engine.from_host(tokens.data(), DType::kI32, Shape({rows, 1}), DType::kI64);
    network.logits(network.hidden(ids, Context{}, &state));
  };
  ReadProbe read;
  const std::vector<std::function<void()>> works = {step, [&] { read(); }};
  const std::vector<Timing> timings = time_in_turn(works, options);
  return {.rows = rows,
          .position = position,
          .step = timings[0],
          .bytes = static_cast<double>(weight_bytes(model) + state.bytes()),
          .read = ReadProbe::bytes() / timings[1].median};
}

PrefillSpeed measure_prefill(LoadedModel& model, int64_t tokens, const TimingOptions& options) {
  check_prompt(model, tokens);
  const std::vector<int32_t> text = random_tokens(tokens, model.model().config().vocab_size);
  Session session(model);
  int64_t operations = 0;
  auto prefill = [&] {
    session.reset();
    const int64_t before = product_operations();
    session.feed(text);
    operations = product_operations() - before;
  };
  const auto products = product_probe(model.packing() == CpuEngine::Packing::kBF16);
  const TimesBesideProducts times = time_beside_products(prefill, products, options);
  return {.tokens = tokens,
          .all = times.work,
          .operations = static_cast<double>(operations),
          .gemm = GemmProbe::operations() / times.gemm.median,
          .scaling = times.scaling};
}

double measure_prefill_growth(LoadedModel& model, int64_t tokens, int64_t behind, const TimingOptions& options) {
  check_prompt(model, behind);
  const std::vector<int32_t> text = random_tokens(tokens, model.model().config().vocab_size);
  const Session start(model);
  Session later(model);
  later.feed(random_tokens(behind, model.model().config().vocab_size));
  auto read_after = [&](const Session& from) { return [&from, &text] { from.clone().feed(text); }; };
  const std::vector<std::function<void()>> works = {read_after(start), read_after(later)};
  const std::vector<Timing> timings = time_in_turn(works, options);
  return timings[1].median / timings[0].median;
}

}  // namespace rebased
