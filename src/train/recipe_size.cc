#include "train/recipe_size.h"

#include <algorithm>

#include "base/error.h"
#include "base/memory.h"
#include "eval/pass_size.h"
#include "nn/model_size.h"
#include "nn/sequence_model.h"
#include "train/data_source.h"
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

// What lies on the device; how much another device than this machine holds is not known here.
int64_t device_memory(const Recipe& recipe) {
  const bool is_host = recipe.device == "cpu" || recipe.device.starts_with("torch:cpu");
  return is_host ? machine_memory() : kAddressSpace;
}

void check_steps(const Recipe& recipe, const DataSizes& sizes, std::string_view where) {
  if (sizes.train_rows == 0) return;
  const int64_t per_epoch = steps_per_epoch(recipe);
  if (per_epoch == 0) {
    throw ConfigError("{}: train.drop_last leaves no batch of {} rows in {} examples", where, recipe.train.batch_size,
                      sizes.train_rows);
  }
  if (recipe.train.steps == 0 && recipe.train.epochs > kMostSteps / per_epoch) {
    throw ConfigError("{}: train.epochs: {} of {} steps are more than {} steps", where, recipe.train.epochs, per_epoch,
                      kMostSteps);
  }
}

void check_examples(const DataSizes& sizes, std::string_view where) {
  const double tokens = product({sizes.train_rows, sizes.train_tokens}) + product({sizes.test_rows, sizes.test_tokens});
  check_memory(tokens * kExampleToken,
               fmt::format("{}: data: {} training and {} test examples of {} and {} tokens", where, sizes.train_rows,
                           sizes.test_rows, sizes.train_tokens, sizes.test_tokens));
}

// Every block keeps its residual stream for the gradient.
void check_passes(const Recipe& recipe, const DataSizes& sizes, std::string_view where) {
  const int64_t T = sizes.train_tokens, C = recipe.model.d_model;
  const int64_t batch =
      sizes.train_rows > 0 ? std::min(recipe.train.batch_size, sizes.train_rows) : recipe.train.batch_size;
  check_memory(product({batch, T}) * kBatchToken,
               fmt::format("{}: train.batch_size: {} rows of {} tokens", where, batch, T));
  const int64_t rows = std::min(micro_batch_rows(recipe, T), batch);
  check_memory(product({rows, T, C, recipe.model.n_layers}) * kFloat,
               fmt::format("{}: train.micro_batch: a pass of {} rows of {} tokens through {} layers", where, rows, T,
                           recipe.model.n_layers),
               device_memory(recipe));
  if (sizes.test_rows > 0) check_evaluation_size(recipe, sizes.test_rows, where);
}

}  // namespace

int64_t steps_per_epoch(const Recipe& recipe) {
  const int64_t rows = data_source(recipe.data).sizes(recipe.data).train_rows, batch = recipe.train.batch_size;
  return recipe.train.drop_last ? rows / batch : (rows + batch - 1) / batch;
}

void check_evaluation_size(const Recipe& recipe, int64_t rows, std::string_view where) {
  const DataSizes sizes = data_source(recipe.data).sizes(recipe.data);
  const int64_t T = sizes.test_tokens;
  check_evaluation_pass(
      fmt::format("{}: train.eval_batch", where), std::min(recipe.train.eval_batch, rows), T, recipe.model.d_model,
      sizes.tests_with_state ? SequenceModel(recipe.model).state_bytes(1, T) : 0, device_memory(recipe));
}

void check_recipe_size(const Recipe& recipe, std::string_view where) {
  const DataSizes sizes = data_source(recipe.data).sizes(recipe.data);
  check_steps(recipe, sizes, where);
  check_examples(sizes, where);
  const double parameters = parameter_count(recipe.model, fmt::format("{}: model", where));
  check_memory(parameters * kFloat * kTrainedFloats,
               fmt::format("{}: model: {:.0f} parameters with their gradients and moments", where, parameters),
               device_memory(recipe));
  check_passes(recipe, sizes, where);
}

}  // namespace rebased
