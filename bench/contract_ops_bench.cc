// The operations of the contract test, at the sizes models use: forward on the cpu engine, forward and gradient on the
// torch engine. Each is compared with float64 first, over the odd sizes of the test; one that differs is not timed.
#include <benchmark/benchmark.h>

#include <map>

#include "contract/op_check.h"
#include "engine/cpu/cpu_engine.h"
#include "support/torch.h"

namespace rebased::testing {
namespace {

const std::string& failure_of(const OpRow& row) {
  static std::map<std::string, std::string> found;
  const auto [entry, missing] = found.try_emplace(row.name);
  for (size_t i = 0; missing && i < row.sizes.size(); ++i) entry->second += disagreement(row, row.sizes[i]);
  return entry->second;
}

std::vector<Value> timed_operands(const OpRow& row, Engine& engine) {
  std::vector<Value> operands;
  for (const HostArray& array : operands_of(row, row.timed)) operands.push_back(write(engine, array));
  return operands;
}

std::vector<Value> outputs_of(const OpRow& row, Engine& engine, std::vector<Value> operands) {
  return row.run(engine, operands);
}

// Bytes that must move at least: operands in, outputs out.
void set_bytes(benchmark::State& state, const std::vector<Value>& operands, const std::vector<Value>& outputs) {
  int64_t elements = 0;
  for (const Value& value : operands) elements += value.shape().numel();
  for (const Value& value : outputs) elements += value.shape().numel();
  state.SetBytesProcessed(state.iterations() * elements * static_cast<int64_t>(sizeof(float)));
}

void forward(benchmark::State& state, const OpRow& row, Engine& engine) {
  if (const std::string& failure = failure_of(row); !failure.empty()) return state.SkipWithError(failure.c_str());
  const std::vector<Value> operands = timed_operands(row, engine);
  std::vector<Value> outputs;
  for (auto _ : state) outputs = outputs_of(row, engine, operands);
  set_bytes(state, operands, outputs);
}

void with_gradient(benchmark::State& state, const OpRow& row, Engine& engine) {
  if (const std::string& failure = failure_of(row); !failure.empty()) return state.SkipWithError(failure.c_str());
  const std::vector<Value> operands = timed_operands(row, engine);
  for (const Value& operand : operands) track(operand);
  std::vector<Value> outputs = outputs_of(row, engine, operands);
  const HostArray weight = HostArray::filled(outputs[0].shape(), 1);
  for (auto _ : state) {
    outputs = outputs_of(row, engine, operands);
    back_propagate(outputs[0], weight);
  }
  set_bytes(state, operands, outputs);
}

void add_benchmarks() {
  static CpuEngine cpu;
  static const std::unique_ptr<Engine> torch = make_torch_engine(DType::kF32);
  auto add = [](const std::string& name, const OpRow& row, auto* run, Engine& engine) {
    benchmark::RegisterBenchmark((row.name + name).c_str(),
                                 [&row, run, &engine](benchmark::State& state) { run(state, row, engine); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  };
  for (const OpRow& row : op_rows()) {
    if (row.timed.empty()) continue;
    add("/cpu", row, forward, cpu);
    add("/torch", row, row.gradient ? with_gradient : forward, *torch);
  }
}

}  // namespace
}  // namespace rebased::testing

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  rebased::testing::add_benchmarks();
  benchmark::RunSpecifiedBenchmarks();
}
