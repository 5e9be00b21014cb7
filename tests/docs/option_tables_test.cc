// The tables of options in docs/ are those of the options themselves. A table stands between the line
// "<!-- options: NAME -->" and an empty line; REBASED_WRITE_DOCS=1 writes it (./dev docs --write).

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>

#include "nn/mixers/registry.h"
#include "train/recipe.h"

namespace rebased::testing {
namespace {

using Rows = std::vector<OptionHelp>;

const std::filesystem::path kDocs = std::filesystem::path(REBASED_TESTS_DIR).parent_path() / "docs";

// Those of `rows` that lie inside no table of their own.
Rows own_rows(Rows rows, const std::set<std::string>& tables) {
  std::erase_if(rows, [&](const OptionHelp& row) {
    const size_t dot = row.name.find('.');
    return dot != std::string::npos && tables.contains(row.name.substr(0, dot));
  });
  return rows;
}

std::map<std::string, Rows> all_options() {
  std::map<std::string, Rows> all = {
      {"recipe", own_rows(options_help<Recipe>(), {"model", "data", "train", "optimizer", "schedule"})},
      {"model", options_help<ModelConfig>()},
      {"data", options_help<DataRecipe>()},
      {"train", options_help<TrainRecipe>()},
      {"optimizer", options_help<OptimizerRecipe>()},
      {"schedule", options_help<ScheduleRecipe>()}};
  for (const MixerEntry& entry : mixer_registry()) {
    if (!entry.help().empty()) all["mixer " + entry.name] = entry.help();
  }
  return all;
}

std::string escaped(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.insert(at, "\\");
  return text;
}

std::string table_of(const Rows& rows) {
  std::string text = "| key | type | default | meaning |\n|---|---|---|---|\n";
  for (const OptionHelp& row : rows) {
    std::string type = row.type;
    if (!row.choices.empty()) type = fmt::format("`{}`", fmt::join(row.choices, "`, `"));
    if (!row.range.empty() && row.range.size() < 30) type += ", " + row.range;  // not those of all 64 bits
    text += fmt::format("| `{}` | {} | `{}` | {} |\n", row.name, type, row.default_text, escaped(row.help));
  }
  return text;
}

std::string read_text(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

// `text` with every table replaced by that of its options; their names go to `found`.
std::string with_tables(const std::string& text, const std::map<std::string, Rows>& options,
                        std::set<std::string>& found) {
  const std::string opening = "<!-- options: ";
  std::string result;
  size_t at = 0;
  for (size_t next; (next = text.find(opening, at)) != std::string::npos;) {
    const size_t line = text.find('\n', next), end = std::min(text.find("\n\n", line), text.size());
    const size_t name = next + opening.size();
    const std::string key = text.substr(name, text.find(" -->", name) - name);
    result += text.substr(at, line + 1 - at) + (options.contains(key) ? table_of(options.at(key)) : "unknown: " + key);
    found.insert(key);
    at = end + 1;
  }
  return at < text.size() ? result + text.substr(at) : result;
}

TEST(OptionTables, AreThoseOfTheOptions) {
  const auto options = all_options();
  std::set<std::string> found;
  const bool write = std::getenv("REBASED_WRITE_DOCS") != nullptr;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(kDocs)) {
    if (entry.path().extension() != ".md") continue;
    const std::string text = read_text(entry.path()), expected = with_tables(text, options, found);
    if (write && text != expected) std::ofstream(entry.path()) << expected;
    if (write) continue;
    EXPECT_EQ(text, expected) << entry.path() << " is not up to date: ./dev docs --write";
  }
  for (const auto& [key, rows] : options) EXPECT_TRUE(found.contains(key)) << "no page has the table of " << key;
}

}  // namespace
}  // namespace rebased::testing
