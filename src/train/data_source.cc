#include "train/data_source.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "base/error.h"
#include "train/task_source.h"
#include "train/text_source.h"

namespace rebased {
namespace {

const std::vector<const DataSource*>& sources() {
  static const std::vector<const DataSource*> list = {
      &task_source(),
      &text_source(),
  };
  return list;
}

std::string names(const std::vector<const DataSource*>& list, std::string_view between) {
  std::vector<std::string_view> all;
  for (const DataSource* source : list) all.push_back(source->name());
  return fmt::format("{}", fmt::join(all, between));
}

}  // namespace

const DataSource& data_source(const DataRecipe& data, std::string_view where) {
  std::vector<const DataSource*> named = sources();
  std::erase_if(named, [&](const DataSource* source) { return !source->is_named_by(data); });
  if (named.size() == 1) return *named.front();
  throw ConfigError("{}: data needs either {}, found {}", where, names(sources(), " or "),
                    named.empty() ? "neither" : names(named, " and "));
}

}  // namespace rebased
