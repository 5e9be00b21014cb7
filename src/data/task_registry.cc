#include "data/task_registry.h"

#include <algorithm>
#include <functional>

#include "base/error.h"
#include "base/suggest.h"
#include "data/circuit_tasks.h"
#include "data/mqar.h"
#include "data/random_tokens.h"
#include "data/recall_tasks.h"

namespace rebased {
namespace {

struct Task {
  std::string name;
  std::string help;
  std::function<std::vector<OptionHelp>()> option_help;
  std::function<Json(const Json&)> resolve;
  std::function<int64_t(const Json&)> vocabulary;
  std::function<TaskData(const Json&, int64_t, uint64_t)> generate;
};

template <class Options>
int64_t vocabulary_of(const Options& options) {
  if constexpr (requires { options.vocab_size; }) {
    return options.vocab_size;
  } else {
    return Options::kVocabulary;
  }
}

template <class Options>
Task task(const std::string& name, const std::string& help) {
  const auto read = [where = "data.task " + name](const Json& json) { return options_from_json<Options>(json, where); };
  return {name,
          help,
          [] { return options_help<Options>(); },
          [read](const Json& json) { return options_to_json(read(json)); },
          [read](const Json& json) { return vocabulary_of(read(json)); },
          [read](const Json& json, int64_t examples, uint64_t seed) { return generate(read(json), examples, seed); }};
}

const std::vector<Task>& tasks() {
  static const std::vector<Task> list = {
      task<MqarOptions>("mqar", "multi-query associative recall: every key of the context is asked once"),
      task<AssociativeRecallOptions>("associative_recall", "one or some keys of the context are asked, anywhere"),
      task<HaystackOptions>("haystack", "pairs at a depth of a long document, all asked at its end"),
      task<ForgettingOptions>("forgetting", "some keys are bound again; the latest value counts"),
      task<CompositionalOptions>("compositional", "a value is bound to two keys together"),
      task<ParityOptions>("parity", "parity of all bits, asked at the end"),
      task<MajorityOptions>("majority", "majority of all bits, asked at the end"),
      task<CumulativeParityOptions>("cumulative_parity", "parity of the bits so far, at every position"),
      task<CumulativeMajorityOptions>("cumulative_majority", "majority of the bits so far, at every position"),
      task<RandomTokensOptions>("random_tokens", "uniform ids, each asked for the next: nothing to learn, for timing"),
  };
  return list;
}

const Task& find_task(std::string_view name) {
  const auto found = std::find_if(tasks().begin(), tasks().end(), [&](const Task& t) { return t.name == name; });
  if (found != tasks().end()) return *found;
  std::vector<std::string> names;
  for (const Task& t : tasks()) names.push_back(t.name);
  throw ConfigError("unknown task '{}'{}; known are {}", name, did_you_mean(name, names), fmt::join(names, ", "));
}

}  // namespace

std::vector<TaskInfo> list_tasks() {
  std::vector<TaskInfo> infos;
  for (const Task& t : tasks()) infos.push_back({t.name, t.help, t.option_help()});
  return infos;
}

TaskData generate_task(std::string_view name, const Json& options, int64_t examples, uint64_t seed) {
  return find_task(name).generate(options, examples, seed);
}

int64_t task_vocabulary(std::string_view name, const Json& options) { return find_task(name).vocabulary(options); }

Json resolve_task_options(std::string_view name, const Json& options) { return find_task(name).resolve(options); }

}  // namespace rebased
