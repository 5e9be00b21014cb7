#pragma once

#include <string>
#include <vector>

namespace rebased {

struct RecipeFile {
  std::string name;  // path in its folder, without ".toml": "demo/rebased"
  std::string path;
  std::string summary;  // its first comment line; may be empty
};

// The recipes in the folder recipes/ (and the folders in it) of the sources, in the shared folder of an installed
// rebased, and in ./recipes, by name; of equal names the first found, in this order.
std::vector<RecipeFile> find_recipes();

}  // namespace rebased
