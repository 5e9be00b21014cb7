#include "train/recipe_size.h"

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"
#include "eval/pass_size.h"
#include "nn/language_model.h"
#include "nn/model_size.h"
#include "train/trainer.h"

namespace rebased {
namespace {

constexpr double kFloat = 4, kTrainedFloats = 4;  // a weight, its gradient and two moments
constexpr double kExampleToken = 8;               // an input and a label, 32 bits each
constexpr double kBatchToken = 16;                // 64 bits each

double product(std::initializer_list<int64_t> sizes) {
  double all = 1;
  for (const int64_t size : sizes) all *= static_cast<double>(size);
  return all;
}

int64_t seq_len_of(const Json& options) { return options.value("seq_len", int64_t{0}); }

int64_t test_seq_len(const DataRecipe& data) { return seq_len_of(data.all_test_options()); }

// What lies on the device; how much another device than this machine holds is not known here.
int64_t device_memory(const Recipe& recipe) {
  const bool is_host = recipe.device == "cpu" || recipe.device.starts_with("torch:cpu");
  return is_host ? machine_memory() : kAddressSpace;
}

void check_steps(const Recipe& recipe, std::string_view where) {
  if (recipe.data.is_text()) return;
  const int64_t per_epoch = steps_per_epoch(recipe);
  if (per_epoch == 0) {
    throw ConfigError("{}: train.drop_last leaves no batch of {} rows in {} examples", where, recipe.train.batch_size,
                      recipe.data.train_examples);
  }
  if (recipe.train.steps == 0 && recipe.train.epochs > kMostSteps / per_epoch) {
    throw ConfigError("{}: train.epochs: {} of {} steps are more than {} steps", where, recipe.train.epochs, per_epoch,
                      kMostSteps);
  }
}

void check_examples(const DataRecipe& data, std::string_view where) {
  if (data.is_text()) return;
  const int64_t T = seq_len_of(data.options), test_T = test_seq_len(data);
  const double tokens = product({data.train_examples, T}) + product({data.test_examples, test_T});
  check_memory(tokens * kExampleToken, fmt::format("{}: data: {} training and {} test examples of {} and {} tokens",
                                                   where, data.train_examples, data.test_examples, T, test_T));
}

// Every block keeps its residual stream for the gradient.
void check_passes(const Recipe& recipe, std::string_view where) {
  const bool text = recipe.data.is_text();
  const int64_t T = text ? recipe.data.seq_len : seq_len_of(recipe.data.options), C = recipe.model.d_model;
  const int64_t batch = text ? recipe.train.batch_size : std::min(recipe.train.batch_size, recipe.data.train_examples);
  check_memory(product({batch, T}) * kBatchToken,
               fmt::format("{}: train.batch_size: {} rows of {} tokens", where, batch, T));
  const int64_t rows = std::min(micro_batch_rows(recipe, T), batch);
  check_memory(product({rows, T, C, recipe.model.n_layers}) * kFloat,
               fmt::format("{}: train.micro_batch: a pass of {} rows of {} tokens through {} layers", where, rows, T,
                           recipe.model.n_layers),
               device_memory(recipe));
  if (!text) check_evaluation_size(recipe, recipe.data.test_examples, where);
}

}  // namespace

int64_t steps_per_epoch(const Recipe& recipe) {
  if (recipe.data.is_text()) return 0;
  const int64_t rows = recipe.data.train_examples, batch = recipe.train.batch_size;
  return recipe.train.drop_last ? rows / batch : (rows + batch - 1) / batch;
}

void check_evaluation_size(const Recipe& recipe, int64_t rows, std::string_view where) {
  const bool text = recipe.data.is_text();  // is evaluated with a state
  const int64_t T = text ? recipe.data.seq_len : test_seq_len(recipe.data);
  check_evaluation_pass(fmt::format("{}: train.eval_batch", where), std::min(recipe.train.eval_batch, rows), T,
                        recipe.model.d_model, text ? LanguageModel(recipe.model).state_bytes(1, T) : 0,
                        device_memory(recipe));
}

void check_recipe_size(const Recipe& recipe, std::string_view where) {
  check_steps(recipe, where);
  check_examples(recipe.data, where);
  const double parameters = parameter_count(recipe.model, fmt::format("{}: model", where));
  check_memory(parameters * kFloat * kTrainedFloats,
               fmt::format("{}: model: {:.0f} parameters with their gradients and moments", where, parameters),
               device_memory(recipe));
  check_passes(recipe, where);
}

}  // namespace rebased
