#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/threads.h"
#include "bench/kernel_speed.h"
#include "bench/limits.h"
#include "bench/model_speed.h"
#include "bench/report.h"
#include "cli/eval.h"
#include "cli/trainer.h"
#include "cli/verbs.h"
#include "config/document.h"
#include "config/limits.h"
#include "io/file.h"
#include "io/standard_streams.h"
#include "record/table.h"

namespace rebased {
namespace {

struct BenchArguments {
  std::optional<std::string> model, config, filter, weights;
  std::vector<std::string> lengths;
  int64_t rounds = TimingOptions{}.rounds, rows = 1, position = 100, behind = 0;
  bool json = false, scaling = false;

  TimingOptions timing() const { return {.rounds = static_cast<int>(rounds), .scaling = scaling}; }
};

void write_result(const BenchArguments& arguments, const Table& table, Json rows) {
  write_output(arguments.json ? bench_json(std::move(rows)) : bench_text(table));
}

constexpr Align kRight = Align::kRight;

void bench_limits(const BenchArguments& arguments) {
  Table table({{"limit"}, {"one thread", kRight}, {fmt::format("{} threads", thread_count()), kRight}, {"unit"}});
  Json rows = Json::array();
  for (const MachineLimit& limit : measure_limits(arguments.timing())) {
    table.add_row({limit.what, giga(limit.one_thread), giga(limit.all), limit.unit});
    rows.push_back({{"limit", limit.key}, {"one_thread", limit.one_thread}, {"all", limit.all}});
  }
  write_result(arguments, table, std::move(rows));
}

std::vector<std::string> kernel_cells(const KernelSpeed& speed) {
  const std::string error = fmt::format("{:.1e}", speed.error);
  if (!speed.correct) return {speed.name, "wrong", "", "", "", "", "", error};
  const bool gradient = speed.backward.has_value();
  std::vector<std::string> cells = {speed.name,
                                    milliseconds(speed.forward.median),
                                    percent(speed.forward_share),
                                    gradient ? milliseconds(speed.forward.median + speed.backward->median) : "",
                                    gradient ? percent(speed.both_share) : "",
                                    giga(speed.gemm),
                                    spread(speed.forward),
                                    error};
  if (speed.forward_scaling) {
    cells.push_back(ratio(speed.forward_scaling->work));
    cells.push_back(gradient ? ratio(speed.both_scaling->work) : "");
    cells.push_back(ratio(speed.forward_scaling->gemm));
  }
  return cells;
}

Json kernel_json(const KernelSpeed& speed) {
  Json row{{"kernel", speed.name}, {"error", speed.error}, {"correct", speed.correct}};
  if (!speed.correct) return row;
  row.update({{"gemm", speed.gemm}, {"forward", to_json(speed.forward)}, {"forward_share", speed.forward_share}});
  if (speed.backward) row.update({{"backward", to_json(*speed.backward)}, {"both_share", speed.both_share}});
  if (speed.forward_scaling) row["forward_scaling"] = to_json(*speed.forward_scaling);
  if (speed.both_scaling) row["both_scaling"] = to_json(*speed.both_scaling);
  return row;
}

void bench_kernels(const BenchArguments& arguments) {
  const TimingOptions timing = arguments.timing();
  const std::string filter = arguments.filter.value_or("");
  const int64_t count = count_kernels(filter);
  if (count == 0) throw UsageError("--only: no row has '{}' in its name", filter);
  Progress progress(progress_options("rows"));
  progress.begin("kernels", count);
  const std::vector<KernelSpeed> speeds = measure_kernels(filter, timing, [&](int64_t done) { progress.update(done); });
  progress.finish();
  std::vector<Table::Column> columns = {{"kernel"},
                                        {"forward ms", kRight},
                                        {"% of gemm", kRight},
                                        {"with gradient ms", kRight},
                                        {"% of gemm", kRight},
                                        {"gemm GFLOP/s", kRight},
                                        {"spread %", kRight},
                                        {"error", kRight}};
  if (timing.scaling) {
    for (const char* title : {"forward / 1 thread", "with gradient / 1", "gemm / 1"})
      columns.push_back({title, kRight});
  }
  Table table(columns);
  Json rows = Json::array();
  bool correct = true;
  for (const KernelSpeed& speed : speeds) {
    correct = correct && speed.correct;
    std::vector<std::string> cells = kernel_cells(speed);
    cells.resize(columns.size());
    table.add_row(std::move(cells));
    rows.push_back(kernel_json(speed));
  }
  write_result(arguments, table, std::move(rows));
  if (!correct) throw Error("a kernel differs from the reference by more than its tolerance; its speed was not taken");
}

std::unique_ptr<LoadedModel> model_to_time(const BenchArguments& arguments) {
  if (arguments.model && arguments.config) throw UsageError("give either MODEL or --config");
  if (arguments.model) return LoadedModel::open(*arguments.model, arguments.weights);
  const std::optional<CpuEngine::Packing> weights = packing_of(arguments.weights.value_or("f32"));
  if (arguments.config)
    return random_model(parse_json(read_request(*arguments.config), *arguments.config), *arguments.config, weights);
  return random_model(paper_model_config(), "the default model", weights);
}

void bench_decode(const BenchArguments& arguments) {
  const TimingOptions timing = arguments.timing();
  const auto model = model_to_time(arguments);
  const DecodeSpeed speed = measure_decode(*model, arguments.rows, arguments.position, timing);
  Table table({{"rows", kRight},
               {"position", kRight},
               {"ms a step", kRight},
               {"tokens/s", kRight},
               {"MB read", kRight},
               {"GB/s", kRight},
               {"% of reading", kRight},
               {"spread %", kRight}});
  table.add_row({fmt::format("{}", speed.rows), fmt::format("{}", speed.position), milliseconds(speed.step.median),
                 fmt::format("{:.1f}", speed.tokens_per_second()), fmt::format("{:.1f}", speed.bytes * 1e-6),
                 giga(speed.bandwidth()), percent(speed.bandwidth() / speed.read), spread(speed.step)});
  write_result(arguments, table,
               Json::array({{{"rows", speed.rows},
                             {"position", speed.position},
                             {"step", to_json(speed.step)},
                             {"tokens_per_second", speed.tokens_per_second()},
                             {"bytes", speed.bytes},
                             {"share", speed.bandwidth() / speed.read}}}));
}

std::vector<int64_t> lengths_of(const BenchArguments& arguments) {
  std::vector<int64_t> lengths;
  for (const std::string& text : arguments.lengths) {
    lengths.push_back(number_from_text<int64_t>(text, "--tokens", between(1, kMostTokens)));
  }
  return lengths.empty() ? std::vector<int64_t>{4096} : lengths;
}

void bench_prefill(const BenchArguments& arguments) {
  const std::vector<int64_t> lengths = lengths_of(arguments);
  const TimingOptions timing = arguments.timing();
  const auto model = model_to_time(arguments);
  std::vector<Table::Column> columns = {{"tokens", kRight},  {"ms", kRight},        {"tokens/s", kRight},
                                        {"GFLOP/s", kRight}, {"% of gemm", kRight}, {"spread %", kRight}};
  if (timing.scaling) columns.insert(columns.end(), {{"/ 1 thread", kRight}, {"gemm / 1", kRight}});
  if (arguments.behind > 0) columns.push_back({fmt::format("behind {} / first", arguments.behind), kRight});
  Table table(columns);
  Json rows = Json::array();
  for (const int64_t tokens : lengths) {
    const PrefillSpeed speed = measure_prefill(*model, tokens, timing);
    std::vector<std::string> cells = {fmt::format("{}", tokens),
                                      milliseconds(speed.all.median),
                                      fmt::format("{:.1f}", speed.tokens_per_second()),
                                      giga(speed.operations / speed.all.median),
                                      percent(speed.share()),
                                      spread(speed.all)};
    rows.push_back({{"tokens", tokens},
                    {"all", to_json(speed.all)},
                    {"tokens_per_second", speed.tokens_per_second()},
                    {"share", speed.share()}});
    if (speed.scaling) {
      cells.insert(cells.end(), {ratio(speed.scaling->work), ratio(speed.scaling->gemm)});
      rows.back()["scaling"] = to_json(*speed.scaling);
    }
    if (arguments.behind > 0) {
      const double growth = measure_prefill_growth(*model, tokens, arguments.behind, timing);
      cells.push_back(fmt::format("{:.3f}", growth));
      rows.back()["growth"] = growth;
    }
    table.add_row(std::move(cells));
  }
  write_result(arguments, table, std::move(rows));
}

void add_common(CommandLine& verb, BenchArguments& arguments) {
  verb.add("--rounds", arguments.rounds, between(1, kMostRounds), "N",
           "rounds of timing; medians are reported, and quartiles as spread");
  verb.add("--json", arguments.json, "", "JSON instead of a table");
}

void add_scaling(CommandLine& verb, BenchArguments& arguments) {
  verb.add("--scaling", arguments.scaling, "",
           "time everything on one thread too: how many times faster all of them are");
}

void add_model(CommandLine& verb, BenchArguments& arguments) {
  verb.add("MODEL", arguments.model, "", "model folder; default: the paper's 147M-parameter ReBased, random weights");
  verb.add("--config", arguments.config, "FILE", "a config.json to build with random weights instead");
  verb.add("--weights", arguments.weights, "TYPE", kWeightsHelp);
}

}  // namespace

void add_bench(CommandLine& root) {
  CommandLine& bench = root.verb("bench", "measure speed beside the limits of this machine");
  bench.example("rebased bench limits");
  auto add = [&bench](const char* name, const char* summary, void (*act)(const BenchArguments&), const char* example) {
    CommandLine& verb = bench.verb(name, summary);
    auto arguments = std::make_shared<BenchArguments>();
    verb.example(example);
    verb.action([arguments, act] { act(*arguments); });
    return std::pair<CommandLine*, BenchArguments*>(&verb, arguments.get());
  };
  const auto [limits, limits_arguments] =
      add("limits", "rate of matrix products and of reading memory", bench_limits, "rebased bench limits");
  add_common(*limits, *limits_arguments);
  const auto [kernels, kernels_arguments] =
      add("kernels", "attention kernels as a share of the rate of matrix products", bench_kernels,
          "rebased bench kernels --only T48 --rounds 3");
  kernels->about(
      "Each row is first compared with the double reference; a row that differs is not timed. Operations are those of "
      "the cheapest exact form.");
  kernels->add("--only", kernels_arguments->filter, "TEXT", "rows with this in their name");
  add_scaling(*kernels, *kernels_arguments);
  add_common(*kernels, *kernels_arguments);
  bench.verb("train", "training steps of a recipe as a share of the rate of matrix products")
      .forward([](const std::vector<std::string>& typed) { execute_trainer("bench", typed); });
  const auto [decode, decode_arguments] = add("decode", "one token at a time as a share of the rate of reading memory",
                                              bench_decode, "rebased bench decode model --rows 8");
  add_model(*decode, *decode_arguments);
  decode->add("--rows", decode_arguments->rows, between(1, kMostRows), "N", "sequences a step");
  decode->add("--position", decode_arguments->position, between(0, kMostTokens), "N", "tokens that came before");
  add_common(*decode, *decode_arguments);
  const auto [prefill, prefill_arguments] = add("prefill", "reading a prompt as a share of the rate of matrix products",
                                                bench_prefill, "rebased bench prefill model --tokens 64 --tokens 256");
  add_model(*prefill, *prefill_arguments);
  prefill->add("--tokens", prefill_arguments->lengths, "N", "length of the prompt; may be repeated; default: 4096");
  prefill->add("--behind", prefill_arguments->behind, between(0, kMostTokens), "N",
               "time the same prompt behind N tokens too, in turn: how much longer it takes there");
  add_scaling(*prefill, *prefill_arguments);
  add_common(*prefill, *prefill_arguments);
}

}  // namespace rebased
