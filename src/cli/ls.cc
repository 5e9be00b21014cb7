#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "base/suggest.h"
#include "cli/ls.h"
#include "cli/recipes.h"
#include "cli/verbs.h"
#include "config/document.h"
#include "data/task_registry.h"
#include "io/file.h"
#include "io/standard_streams.h"
#include "nn/mixers/registry.h"
#include "record/table.h"

namespace rebased {
namespace {

// A mixer or a task.
struct Listed {
  std::string name;
  std::string summary;
  std::vector<OptionHelp> options;
};

struct LsArguments {
  std::optional<std::string> name;
  bool json = false;
};

std::vector<Listed> mixers() {
  std::vector<Listed> list;
  for (const MixerEntry& entry : mixer_registry()) list.push_back({entry.name, entry.summary, entry.help()});
  return list;
}

std::vector<Listed> tasks() {
  std::vector<Listed> list;
  for (const TaskInfo& task : list_tasks()) list.push_back({task.name, task.help, task.options});
  return list;
}

std::string allowed_text(const OptionHelp& row) {
  return row.choices.empty() ? row.range : fmt::format("{}", fmt::join(row.choices, ", "));
}

Json to_json(const Listed& listed) {
  Json options = Json::array();
  for (const OptionHelp& row : listed.options) {
    options.push_back({{"name", row.name},
                       {"type", row.type},
                       {"default", row.default_text},
                       {"choices", row.choices},
                       {"range", row.range},
                       {"help", row.help}});
  }
  return {{"name", listed.name}, {"summary", listed.summary}, {"options", options}};
}

Json to_json(const RecipeFile& recipe) {
  return {{"name", recipe.name}, {"path", recipe.path}, {"summary", recipe.summary}};
}

std::string detail_text(const Listed& listed) {
  Table options({{"option"}, {"type"}, {"default"}, {"allowed"}, {"meaning"}});
  for (const OptionHelp& row : listed.options) {
    options.add_row({row.name, row.type, row.default_text, allowed_text(row), row.help});
  }
  return fmt::format("{}: {}\n\n{}", listed.name, listed.summary, options.text());
}

std::string detail_text(const RecipeFile& recipe) { return read_request(recipe.path); }

template <class Item>
const Item& find_named(const std::vector<Item>& list, const std::string& name, const char* kind) {
  std::vector<std::string> names;
  for (const Item& item : list) {
    if (item.name == name) return item;
    names.push_back(item.name);
  }
  throw UsageError("unknown {} '{}'{}; see rebased ls {}s", kind, name, did_you_mean(name, names), kind);
}

template <class Item>
std::string listing(const std::vector<Item>& list, const LsArguments& arguments, const char* kind) {
  if (arguments.name) {
    const Item& item = find_named(list, *arguments.name, kind);
    return arguments.json ? json_text(to_json(item), 2) + "\n" : detail_text(item);
  }
  if (arguments.json) {
    Json all = Json::array();
    for (const Item& item : list) all.push_back(to_json(item));
    return json_text(all, 2) + "\n";
  }
  if (list.empty()) {
    log_info("there are no {}s", kind);
    return "";
  }
  Table table({{kind}, {"summary"}});
  for (const Item& item : list) table.add_row({item.name, item.summary});
  return table.text();
}

template <class Item>
void add_list(CommandLine& ls, const std::string& kind, const std::string& summary, const std::string& detail,
              const std::string& example, std::vector<Item> (*list)()) {
  CommandLine& verb = ls.verb(kind + "s", summary);
  auto arguments = std::make_shared<LsArguments>();
  verb.add("NAME", arguments->name, "", detail);
  verb.add("--json", arguments->json, "", "JSON instead of text");
  verb.example(example);
  verb.action([arguments, kind, list] { write_output(listing(list(), *arguments, kind.c_str())); });
}

}  // namespace

void add_ls(CommandLine& root) {
  CommandLine& verb = root.verb("ls", "list mixers, tasks, recipes and the parameters of a model");
  add_list(verb, "mixer", "sequence mixers that a model can be made of", "show this one with all its options",
           "rebased ls mixers rebased", mixers);
  add_list(verb, "task", "synthetic tasks", "show this one with all its options", "rebased ls tasks mqar", tasks);
  add_list(verb, "recipe", "recipes that rebased train takes, from the sources, the installation and ./recipes",
           "print the text of this one", "rebased ls recipes", find_recipes);
  add_ls_model(verb);
  verb.example("rebased ls mixers");
}

}  // namespace rebased
