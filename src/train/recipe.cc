#include "train/recipe.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/printable.h"
#include "base/suggest.h"
#include "config/document.h"
#include "data/task_registry.h"
#include "io/file.h"
#include "text/byte_tokenizer.h"
#include "train/recipe_size.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;

void check_data(DataRecipe& data, std::string_view where) {
  if (data.task.empty() == data.text.empty()) {
    throw ConfigError("{}: data needs either a task or text, found {}", where, data.task.empty() ? "neither" : "both");
  }
  if (data.is_text()) return;
  data.options = resolve_task_options(data.task, data.options);
  resolve_task_options(data.task, data.all_test_options());
}

// How the options of a task fit together is known to its generator: one row of each split asks it.
void check_rows(const DataRecipe& data) {
  if (data.is_text()) return;
  generate_task(data.task, data.options, 1, static_cast<uint64_t>(data.train_seed));
  generate_task(data.task, data.all_test_options(), 1, static_cast<uint64_t>(data.test_seed));
}

// The longest row of either split.
int64_t tokens_of(const DataRecipe& data) {
  if (data.is_text()) return data.seq_len;
  return std::max(data.options.value("seq_len", int64_t{0}), data.all_test_options().value("seq_len", int64_t{0}));
}

int64_t vocabulary_of(const DataRecipe& data) {
  if (data.is_text()) return ByteTokenizer().vocab_size();
  return std::max(task_vocabulary(data.task, data.options), task_vocabulary(data.task, data.all_test_options()));
}

// What the data says about the model where the recipe does not.
void fill_model(const Json& document, Recipe& recipe, std::string_view where) {
  const Json given = document.value("model", Json::object());
  const int64_t vocabulary = vocabulary_of(recipe.data);
  if (!given.contains("vocab_size")) recipe.model.vocab_size = vocabulary;
  if (!given.contains("max_tokens") && !recipe.data.is_text()) recipe.model.max_tokens = tokens_of(recipe.data);
  if (recipe.model.vocab_size < vocabulary) {
    throw ConfigError("{}: model.vocab_size: expected at least the data's {}, found {}", where, vocabulary,
                      recipe.model.vocab_size);
  }
  if (recipe.model.max_tokens > 0 && recipe.model.max_tokens < tokens_of(recipe.data)) {
    throw ConfigError("{}: model.max_tokens: expected at least the data's {} tokens, found {}", where,
                      tokens_of(recipe.data), recipe.model.max_tokens);
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

void check_training(const Json& document, Recipe& recipe, std::string_view where) {
  check_device(recipe.device, where);
  if (recipe.data.is_text()) {
    if (recipe.train.steps == 0) throw ConfigError("{}: train.steps: text needs a number of steps, found 0", where);
    if (!document.value("schedule", Json::object()).contains("kind")) recipe.schedule.kind = "cosine";
    if (recipe.schedule.kind == "cosine_epoch") {
      throw ConfigError("{}: schedule.kind: cosine_epoch cannot take effect on text, which has no epochs", where);
    }
  }
  if (recipe.schedule.kind == "constant" && recipe.schedule.final_ratio != 0) {
    throw ConfigError("{}: schedule.final_ratio cannot take effect with a constant schedule", where);
  }
}

std::string beside(const std::string& path, const fs::path& folder) {
  if (fs::path(path).is_absolute() || fs::exists(path) || !fs::exists(folder / path)) return path;
  return (folder / path).string();
}

}  // namespace

Json DataRecipe::all_test_options() const {
  Json all = options;
  all.update(test_options);
  return all;
}

Recipe recipe_from_json(const Json& document, std::string_view where) {
  auto recipe = options_from_json<Recipe>(document, where);
  check_data(recipe.data, where);
  fill_model(document, recipe, where);
  check_training(document, recipe, where);
  recipe.model = model_config_from_json(options_to_json(recipe.model), fmt::format("{}: model", where));
  check_recipe_size(recipe, where);
  check_rows(recipe.data);
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
