#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "cli/verbs.h"
#include "config/document.h"
#include "config/limits.h"
#include "data/dataset_file.h"
#include "data/task_registry.h"

namespace rebased {
namespace {

struct PrepareArguments {
  std::string task;
  std::optional<int64_t> vocab, seq_len, pairs;
  std::optional<double> power;
  bool random_fill = false;
  std::vector<std::string> set;
  int64_t examples = 1000;
  std::optional<uint64_t> seed;
  std::string out;
};

constexpr uint64_t kPublishedSeed = 42;

std::vector<OptionHelp> options_of(const std::string& task) {
  resolve_task_options(task, Json::object());  // refuses an unknown name
  const std::vector<TaskInfo> tasks = list_tasks();
  return std::find_if(tasks.begin(), tasks.end(), [&](const TaskInfo& info) { return info.name == task; })->options;
}

// What was typed, as options of the task. Throws UsageError for a flag that the task does not have.
Json typed_options(const PrepareArguments& arguments) {
  const std::vector<OptionHelp> known = options_of(arguments.task);
  Json options = Json::object();
  auto give = [&](const char* flag, const std::string& key, const Json& value) {
    if (std::none_of(known.begin(), known.end(), [&](const OptionHelp& row) { return row.name == key; })) {
      throw UsageError("{}: the task '{}' has no option '{}'; see rebased ls tasks {}", flag, arguments.task, key,
                       arguments.task);
    }
    options[key] = value;
  };
  if (arguments.vocab) give("--vocab", "vocab_size", *arguments.vocab);
  if (arguments.seq_len) give("--seq-len", "seq_len", *arguments.seq_len);
  if (arguments.pairs) give("--pairs", "pairs", *arguments.pairs);
  if (arguments.power) give("--power", "power", *arguments.power);
  if (arguments.random_fill) give("--random-fill", "random_fill", true);
  for (const std::string& assignment : arguments.set) {
    const std::string key = assignment.substr(0, assignment.find('='));
    if (options.contains(key)) throw UsageError("--set {}: '{}' was given already", assignment, key);
    apply_set(options, assignment);
  }
  return options;
}

void prepare(const PrepareArguments& arguments) {
  Dataset dataset;
  dataset.task = arguments.task;
  dataset.seed = arguments.seed.value_or(kPublishedSeed);
  dataset.options = resolve_task_options(arguments.task, typed_options(arguments));
  dataset.data = generate_task(arguments.task, dataset.options, arguments.examples, dataset.seed);
  write_dataset(arguments.out, dataset);
  log_info("{}: {} rows of {} tokens of the task {}", arguments.out, dataset.data.examples, dataset.data.seq_len,
           arguments.task);
}

}  // namespace

void add_prepare(CommandLine& root) {
  CommandLine& verb = root.verb("prepare", "write the data of a synthetic task to a file");
  auto arguments = std::make_shared<PrepareArguments>();
  verb.about(
      "The file is safetensors with 'inputs' and 'labels', int64 [examples, seq_len]; label -100 asks nothing.\n"
      "rebased ls tasks lists the tasks, rebased ls tasks TASK the options of one with their defaults.");
  verb.add("TASK", arguments->task, "", "name of the task");
  verb.add("--vocab", arguments->vocab, any_value<int64_t>(), "N", "token ids (option vocab_size)");
  verb.add("--seq-len", arguments->seq_len, any_value<int64_t>(), "N", "tokens a row (option seq_len)");
  verb.add("--pairs", arguments->pairs, any_value<int64_t>(), "N", "key-value pairs a row (option pairs)");
  verb.add("--power", arguments->power, any_value<double>(), "X",
           "law of the query places: 1 is uniform (option power)");
  verb.add("--random-fill", arguments->random_fill, "", "uniform ids instead of blanks (option random_fill)");
  verb.add("--set", arguments->set, "KEY=VALUE", "any option of the task; may be repeated");
  verb.add("--examples", arguments->examples, between(1, kMostRows), "N", "rows");
  verb.add("--seed", arguments->seed, any_value<uint64_t>(), "N",
           "of the random choices; default: 42, that of the published training data");
  verb.add("--out", arguments->out, "FILE", "file to write, whole or not at all; must be given");
  verb.example("rebased prepare mqar --vocab 8192 --seq-len 128 --pairs 16 --examples 1000 --out mqar.safetensors");
  verb.action([arguments] { prepare(*arguments); });
}

}  // namespace rebased
