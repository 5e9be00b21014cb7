#include <fmt/format.h>

#include <vector>

#include "bench/limits.h"
#include "bench/report.h"
#include "bench/scaling.h"
#include "config/limits.h"
#include "engine/vocabulary.h"
#include "io/standard_streams.h"
#include "train_cli/commands.h"
#include "train_cli/run.h"

namespace rebased {
namespace {

struct BenchFlags {
  std::string path;
  std::vector<std::string> set;
  int64_t rounds = TimingOptions{}.rounds;
  bool json = false, scaling = false;
};

int bench(const BenchFlags& flags, MakeEngine make_engine) {
  const Recipe recipe = load_recipe(flags.path, flags.set);
  const std::atomic<bool> stop{false};
  Trainer trainer(recipe, make_engine(recipe), std::nullopt, stop);
  int64_t step = 0, forward = 0;  // forward: operations of a step's products with weights
  auto train = [&] {
    const int64_t before = product_operations();
    trainer.step(step++);
    forward = product_operations() - before;
  };
  const TimesBesideProducts times =
      time_beside_products(train, product_probe(precision_of(recipe) == Precision::kBF16),
                           {.rounds = static_cast<int>(flags.rounds), .scaling = flags.scaling});
  trainer.require_finite(step);
  const Batch batch = trainer.data().batch(0);
  const double seconds = times.work.median, rate = GemmProbe::operations() / times.gemm.median;
  const double operations = 3.0 * static_cast<double>(forward);  // the gradient takes two products for each
  const double tokens = static_cast<double>(batch.rows * batch.tokens()) / seconds;
  if (flags.json) {
    Json row{{"recipe", flags.path},
             {"step", to_json(times.work)},
             {"tokens_per_second", tokens},
             {"operations", operations},
             {"gemm", rate},
             {"share", operations / seconds / rate}};
    if (times.scaling) row["scaling"] = to_json(*times.scaling);
    print_output("{}", bench_json(Json::array({row})));
    return 0;
  }
  constexpr Align kRight = Align::kRight;
  std::vector<Table::Column> columns = {{"ms a step", kRight}, {"tokens/s", kRight}, {"GFLOP/s", kRight},
                                        {"% of gemm", kRight}, {"peak MB", kRight},  {"spread %", kRight}};
  std::vector<std::string> cells = {milliseconds(seconds),
                                    fmt::format("{:.0f}", tokens),
                                    giga(operations / seconds),
                                    percent(operations / seconds / rate),
                                    fmt::format("{:.0f}", peak_megabytes()),
                                    spread(times.work)};
  if (times.scaling) {
    columns.insert(columns.end(), {{"/ 1 thread", kRight}, {"gemm / 1", kRight}});
    cells.insert(cells.end(), {ratio(times.scaling->work), ratio(times.scaling->gemm)});
  }
  Table table(std::move(columns));
  print_output("{}", bench_text(table.add_row(std::move(cells))));
  return 0;
}

}  // namespace

void add_bench_command(CLI::App& app, std::function<int()>& run, MakeEngine make_engine) {
  auto flags = std::make_shared<BenchFlags>();
  CLI::App* command =
      app.add_subcommand("bench", "Time training steps of a recipe beside the rate of matrix products of this machine");
  command->add_option("RECIPE", flags->path, "a recipe (TOML)")->required();
  command->add_option("--set", flags->set, "override a recipe key")->take_all()->expected(1);
  add_count(*command, "--rounds", flags->rounds, kMostRounds,
            "rounds of timing; medians are reported, and quartiles as spread");
  command->add_flag("--scaling", flags->scaling,
                    "time everything on one thread too: how many times faster all of them are");
  command->add_flag("--json", flags->json, "JSON instead of a table");
  command->footer("Example:\n  rebased bench train recipes/demo/rebased.toml --rounds 3");
  command->callback([flags, &run, make_engine] { run = [flags, make_engine] { return bench(*flags, make_engine); }; });
}

}  // namespace rebased
