#include "train/recipe.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/printable.h"
#include "base/suggest.h"
#include "config/document.h"
#include "io/file.h"
#include "train/data_source.h"
#include "train/recipe_size.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;

// What the data says about the model where the recipe does not.
void fill_model(const Json& document, const DataSizes& sizes, ModelConfig& model, std::string_view where) {
  const Json given = document.value("model", Json::object());
  if (!given.contains("vocab_size")) model.vocab_size = sizes.vocabulary;
  if (!given.contains("max_tokens") && sizes.has_positions) model.max_tokens = sizes.longest();
  if (model.vocab_size < sizes.vocabulary) {
    throw ConfigError("{}: model.vocab_size: expected at least the data's {}, found {}", where, sizes.vocabulary,
                      model.vocab_size);
  }
  if (model.max_tokens > 0 && model.max_tokens < sizes.longest()) {
    throw ConfigError("{}: model.max_tokens: expected at least the data's {} tokens, found {}", where, sizes.longest(),
                      model.max_tokens);
  }
}

// "cpu", or what the program with libtorch takes: [torch:]TYPE[:N].
void check_device(std::string_view device, std::string_view where) {
  static const std::vector<std::string> types = {"cpu", "cuda", "hip",           "hpu", "ipu",
                                                 "mps", "mtia", "privateuseone", "xla", "xpu"};
  constexpr std::string_view kPrefix = "torch:";
  const std::string_view own = device.starts_with(kPrefix) ? device.substr(kPrefix.size()) : device;
  const size_t colon = own.find(':');
  const std::string_view type = own.substr(0, colon), number = colon == own.npos ? "0" : own.substr(colon + 1);
  const bool numbered = !number.empty() && number.find_first_not_of("0123456789") == number.npos;
  if (numbered && std::find(types.begin(), types.end(), type) != types.end()) return;
  throw ConfigError(
      "{}: device: expected cpu, or a device of libtorch as in cuda:0 or torch:cpu, of the types {}; "
      "found '{}'{}",
      where, fmt::join(types, ", "), shortened(device), did_you_mean(type, types));
}

// Data without epochs is trained on for a number of steps.
void check_steps(const Json& document, std::string_view data, Recipe& recipe, std::string_view where) {
  if (recipe.train.steps == 0) throw ConfigError("{}: train.steps: {} needs a number of steps, found 0", where, data);
  if (!document.value("schedule", Json::object()).contains("kind")) recipe.schedule.kind = "cosine";
  if (recipe.schedule.kind == "cosine_epoch") {
    throw ConfigError("{}: schedule.kind: cosine_epoch cannot take effect on {}, which has no epochs", where, data);
  }
}

void check_schedule(const Recipe& recipe, std::string_view where) {
  if (recipe.schedule.kind == "constant" && recipe.schedule.final_ratio != 0) {
    throw ConfigError("{}: schedule.final_ratio cannot take effect with a constant schedule", where);
  }
}

std::string beside(const std::string& path, const fs::path& folder) {
  if (fs::path(path).is_absolute() || fs::exists(path) || !fs::exists(folder / path)) return path;
  return (folder / path).string();
}

}  // namespace

Recipe recipe_from_json(const Json& document, std::string_view where) {
  auto recipe = options_from_json<Recipe>(document, where);
  const DataSource& source = data_source(recipe.data, where);
  source.resolve(recipe.data);
  const DataSizes sizes = source.sizes(recipe.data);
  fill_model(document, sizes, recipe.model, where);
  check_device(recipe.device, where);
  if (sizes.train_rows == 0) check_steps(document, source.name(), recipe, where);
  check_schedule(recipe, where);
  recipe.model = model_config_from_json(options_to_json(recipe.model), fmt::format("{}: model", where));
  require_language_model(recipe.model, fmt::format("{}: model", where));  // all that data has targets for
  check_recipe_size(recipe, where);
  source.check(recipe.data);
  return recipe;
}

namespace {

Recipe recipe_of_file(const Json& document, const std::string& path) {
  Recipe recipe = recipe_from_json(document, path);
  const fs::path folder = fs::path(path).parent_path();
  for (std::string& file : recipe.data.text) file = beside(file, folder);
  for (std::string& file : recipe.data.validation_text) file = beside(file, folder);
  return recipe;
}

// In the newest checkpoint that can be read: resuming says what is wrong with the others.
std::optional<Shape> saved_shape(const RunFolder& folder, const std::string& name) {
  for (const CheckpointEntry& checkpoint : folder.list_checkpoints()) {
    try {
      const ModelFolder model = open_model_folder(checkpoint.path.string());
      if (const TensorView* tensor = model.tensors.find(name)) return tensor->shape;
    } catch (const Error&) {
      continue;
    }
  }
  return std::nullopt;
}

}  // namespace

Recipe load_recipe(const std::string& path, const std::vector<std::string>& assignments) {
  Json document = parse_toml(read_request(path), path);
  for (const std::string& assignment : assignments) apply_set(document, assignment);
  return recipe_of_file(document, path);
}

Recipe load_run_recipe(const RunFolder& folder) {
  const std::string path = folder.recipe().string();
  Json document = parse_toml(read_request(path), path);
  if (document.contains("model")) {
    complete_saved_config(document["model"], [&](const std::string& name) { return saved_shape(folder, name); });
  }
  return recipe_of_file(document, path);
}

}  // namespace rebased
