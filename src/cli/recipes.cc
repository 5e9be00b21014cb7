#include "cli/recipes.h"

#include <filesystem>
#include <map>
#include <sstream>

#include "io/file.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;

std::string first_comment(const std::string& path) {
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("#")) continue;
    const size_t begin = line.find_first_not_of("# \t"), end = line.find_last_not_of(" \t\r");
    if (begin != std::string::npos) return line.substr(begin, end + 1 - begin);
  }
  return "";
}

}  // namespace

std::vector<RecipeFile> find_recipes() {
  const fs::path prefix = fs::read_symlink("/proc/self/exe").parent_path().parent_path();
  std::map<std::string, RecipeFile> found;
  for (const fs::path& folder :
       {fs::path(REBASED_SOURCE_RECIPES), prefix / REBASED_INSTALLED_RECIPES, fs::path("recipes")}) {
    std::error_code absent;
    const auto options = fs::directory_options::skip_permission_denied;
    for (const auto& entry : fs::recursive_directory_iterator(folder, options, absent)) {
      if (entry.path().extension() != ".toml" || !entry.is_regular_file(absent)) continue;
      const std::string name = entry.path().lexically_relative(folder).replace_extension();
      found.try_emplace(name, RecipeFile{name, entry.path(), first_comment(entry.path())});
    }
  }
  std::vector<RecipeFile> recipes;
  for (const auto& [name, recipe] : found) recipes.push_back(recipe);
  return recipes;
}

}  // namespace rebased
