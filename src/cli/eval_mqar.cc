#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/eval.h"
#include "cli/mqar_tasks.h"
#include "cli/verbs.h"
#include "config/limits.h"
#include "eval/recall.h"
#include "io/standard_streams.h"
#include "record/progress.h"
#include "record/table.h"
#include "record/text.h"
#include "runtime/loaded_model.h"

namespace rebased {
namespace {

struct EvalMqarArguments {
  std::string model;
  std::optional<std::string> weights;
  std::vector<std::string> tasks;
  int64_t examples = 1000, batch = RecallEvalOptions{}.batch;
  std::optional<uint64_t> seed;
  bool json = false;
};

constexpr uint64_t kPublishedTestSeed = 52;

struct Measured {
  std::string task;
  int64_t examples;
  RecallScore score;
};

std::string slice_text(const RecallSlice& slice) {
  return slice.low == slice.high ? fmt::format("{}", slice.low) : fmt::format("{}-{}", slice.low, slice.high);
}

std::vector<std::string> count_cells(const std::string& task, const std::string& slice, const RecallCount& count) {
  return {task, slice, fmt::format("{}", count.positions), format_value(count.accuracy()), format_value(count.loss())};
}

std::string tables(const std::vector<Measured>& results) {
  constexpr Align kRight = Align::kRight;
  Table scores({{"task"}, {"slice"}, {"asked", kRight}, {"accuracy", kRight}, {"loss", kRight}});
  Table states({{"task"}, {"rows", kRight}, {"state bytes", kRight}});
  for (const auto& [task, examples, score] : results) {
    scores.add_row(count_cells(task, "all", score.all));
    for (const RecallSlice& slice : score.by_pairs) {
      scores.add_row(count_cells(task, "pairs " + slice_text(slice), slice.count));
    }
    for (const RecallSlice& slice : score.by_distance) {
      scores.add_row(count_cells(task, "distance " + slice_text(slice), slice.count));
    }
    states.add_row({task, fmt::format("{}", examples), fmt::format("{}", score.state_bytes)});
  }
  return scores.text() + "\n" + states.text();
}

Json to_json(const RecallCount& count) {
  return {{"positions", count.positions}, {"accuracy", count.accuracy()}, {"loss", count.loss()}};
}

Json to_json(const std::vector<RecallSlice>& slices) {
  Json list = Json::array();
  for (const RecallSlice& slice : slices) {
    Json row = {{"low", slice.low}, {"high", slice.high}};
    row.update(to_json(slice.count));
    list.push_back(row);
  }
  return list;
}

std::string results_json(const std::string& model, const std::vector<Measured>& results) {
  Json document = {{"model", model}, {"tasks", Json::array()}};
  for (const auto& [task, examples, score] : results) {
    Json row = {{"task", task}, {"examples", examples}};
    row.update(to_json(score.all));
    row["state_bytes"] = score.state_bytes;
    row["by_pairs"] = to_json(score.by_pairs);
    row["by_distance"] = to_json(score.by_distance);
    document["tasks"].push_back(row);
  }
  return json_text(document, 2) + "\n";
}

void eval_mqar(const EvalMqarArguments& arguments) {
  const auto model = LoadedModel::open(arguments.model, arguments.weights);
  const TaskDefaults defaults{model->model().config().vocab_size, arguments.examples,
                              arguments.seed.value_or(kPublishedTestSeed)};
  std::vector<std::string> specs = arguments.tasks;
  if (specs.empty()) specs = {"L=64,K=4"};
  std::vector<NamedTask> tasks;
  for (const std::string& spec : specs) {
    for (NamedTask& task : read_tasks(spec, defaults)) tasks.push_back(std::move(task));
  }
  Progress progress(progress_options("rows"));
  const RecallEvalOptions options{arguments.batch, [&](int64_t done, int64_t) { progress.update(done); }};
  for (const NamedTask& task : tasks) check_recall(model->model(), task.data, options);
  std::vector<Measured> results;
  for (const NamedTask& task : tasks) {
    progress.begin(task.name, task.data.examples);
    results.push_back(
        {task.name, task.data.examples, evaluate_recall(model->model(), model->engine(), task.data, options)});
    progress.finish();
  }
  write_output(arguments.json ? results_json(arguments.model, results) : tables(results));
}

}  // namespace

void add_eval_mqar(CommandLine& eval) {
  CommandLine& verb = eval.verb("mqar", "accuracy of associative recall, by number of pairs and by distance");
  auto arguments = std::make_shared<EvalMqarArguments>();
  verb.about(
      "SPEC is L=64,K=4 (L row length, K pairs, V vocabulary or else the model's, and any option that rebased ls tasks "
      "mqar lists), a\n"
      ".safetensors file that rebased prepare wrote, or a .toml file with a table [[tasks]] of such options for each "
      "task.\n"
      "Distance: tokens from the query back to its key. State bytes: of one row at its end.");
  verb.add("MODEL", arguments->model, "", "model folder");
  verb.add("--tasks", arguments->tasks, "SPEC", "what to ask; may be repeated; default: L=64,K=4");
  verb.add("--examples", arguments->examples, between(1, kMostRows), "N",
           "rows of every task that is not read from a .safetensors file");
  verb.add("--seed", arguments->seed, any_value<uint64_t>(), "N",
           "of those rows; default: 52, that of the published test data");
  verb.add("--batch", arguments->batch, between(1, kMostRows), "N", "rows a pass");
  verb.add("--weights", arguments->weights, "TYPE", kWeightsHelp);
  verb.add("--json", arguments->json, "", "JSON instead of tables");
  verb.example("rebased eval mqar model --tasks L=64,K=4 --tasks L=128,K=8 --examples 100");
  verb.action([arguments] { eval_mqar(*arguments); });
}

}  // namespace rebased
