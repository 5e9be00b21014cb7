#include "cli/mqar_tasks.h"

#include "base/error.h"
#include "config/document.h"
#include "data/dataset_file.h"
#include "data/mqar.h"
#include "io/file.h"

namespace rebased {
namespace {

struct TaskList {
  std::vector<Json> tasks;

  template <class V>
  void visit(V& v) {
    v("tasks", tasks, "options of mqar");
  }
};

std::string full_key(const std::string& key) {
  if (key == "L") return "seq_len";
  if (key == "K") return "pairs";
  if (key == "V") return "vocab_size";
  return key;
}

Json options_of(const std::string& spec) {
  Json options = Json::object();
  for (size_t begin = 0; begin <= spec.size();) {
    const size_t end = std::min(spec.find(',', begin), spec.size());
    const std::string part = spec.substr(begin, end - begin);
    const size_t equals = part.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw UsageError("--tasks {}: expected KEY=VALUE,... as in L=64,K=4, or a file named *.safetensors or *.toml",
                       spec);
    }
    const std::string key = full_key(part.substr(0, equals));
    options[key] = parse_typed_value(part.substr(equals + 1), "--tasks " + spec, key);
    begin = end + 1;
  }
  return options;
}

NamedTask generate_mqar(Json options, const std::string& where, const TaskDefaults& defaults) {
  if (options.is_object() && !options.contains("vocab_size")) options["vocab_size"] = defaults.vocab_size;
  const auto mqar = options_from_json<MqarOptions>(options, where);
  if (mqar.vocab_size > defaults.vocab_size) {
    throw ConfigError("{}: vocab_size: expected at most the model's {}, found {}", where, defaults.vocab_size,
                      mqar.vocab_size);
  }
  const std::string name = fmt::format("mqar L={} K={}", mqar.seq_len, mqar.pairs);
  return {name, generate(mqar, defaults.examples, defaults.seed)};
}

std::vector<NamedTask> read_list(const std::string& file, const TaskDefaults& defaults) {
  const auto list = options_from_json<TaskList>(parse_toml(read_request(file), file), file);
  if (list.tasks.empty()) throw ConfigError("{}: expected at least one [[tasks]], found none", file);
  std::vector<NamedTask> tasks;
  for (size_t i = 0; i < list.tasks.size(); ++i) {
    tasks.push_back(generate_mqar(list.tasks[i], fmt::format("{}: tasks.{}", file, i), defaults));
  }
  return tasks;
}

}  // namespace

std::vector<NamedTask> read_tasks(const std::string& spec, const TaskDefaults& defaults) {
  if (spec.ends_with(".safetensors")) return {{spec, read_dataset(spec).data}};
  if (spec.ends_with(".toml")) return read_list(spec, defaults);
  return {generate_mqar(options_of(spec), "--tasks " + spec, defaults)};
}

}  // namespace rebased
