// Every number of every option at both of its ends and far beyond: accepted, and then a step can be taken, or refused
// by a ConfigError that names the field.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <limits>

#include "base/error.h"
#include "base/finite.h"
#include "config/document.h"
#include "data/task_registry.h"
#include "nn/feature_map.h"
#include "nn/mixers/registry.h"
#include "nn/model_size.h"
#include "runtime/sampling.h"
#include "train/checkpoint.h"
#include "train/recipe_size.h"
#include "train/trainer.h"

namespace rebased {
namespace {

using ::testing::HasSubstr;

const std::vector<Json>& extremes() {
  static const std::vector<Json> values = {std::numeric_limits<int64_t>::min(),
                                           -1,
                                           0,
                                           1,
                                           (int64_t{1} << 31) - 1,
                                           int64_t{1} << 31,
                                           int64_t{1} << 32,
                                           int64_t{1} << 53,
                                           int64_t{1} << 62,
                                           std::numeric_limits<int64_t>::max(),
                                           std::numeric_limits<uint64_t>::max(),
                                           1e19,
                                           1e300,
                                           1e-300,
                                           std::numeric_limits<double>::quiet_NaN()};
  return values;
}

constexpr const char* kTiny = R"(
threads = 1
[data]
task = "cumulative_parity"
options = { seq_len = 8 }
train_examples = 4
test_examples = 2
[model]
d_model = 8
n_layers = 1
mixers = [{ type = "identity" }]
[train]
batch_size = 4
)";

Json tiny() { return parse_toml(kTiny, "tiny.toml"); }

bool is_number(const OptionHelp& row) { return row.type == "integer" || row.type == "number"; }

// The value at a dotted path; "list.*.field" is a list of one.
void put(Json& document, const std::string& path, const Json& value) {
  Json* node = &document;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    const std::string key = path.substr(begin, end - begin);
    if (key == "*") {
      if (!node->is_array() || node->empty()) *node = Json::array({Json::object()});
      node = &(*node)[0];
    } else {
      node = &(*node)[key];
    }
    begin = end + 1;
  }
  *node = value;
}

// One step of training and an evaluation where the sizes are those of a test.
void take_a_step(const Recipe& recipe) {
  const int64_t tokens = (recipe.data.train_examples + recipe.data.test_examples) * recipe.model.max_tokens;
  if (parameter_count(recipe.model, "") > 1e6 || tokens > 1'000'000) return;
  const std::atomic<bool> stop{false};
  Trainer trainer(recipe, make_tape_engine(recipe), std::nullopt, stop);
  try {
    trainer.step(trainer.total_steps() - 1);
    trainer.data().evaluate(trainer.model(), trainer.engine());
  } catch (const NotFiniteError&) {  // an extreme rate diverges, and says so
  }
  ModelState state = trainer.model().initial_state(trainer.engine(), 1);
  EXPECT_EQ(state.bytes(), trainer.model().state_bytes(1, 0));
  EXPECT_GT(trainer.model().state_bytes(1, 1 << 20), -1);
}

std::string last_name(const std::string& path) { return path.substr(path.rfind('.') + 1); }

void expect_accepted_or_refused(const Json& document, const std::string& field, const Json& value) {
  SCOPED_TRACE(field + " = " + value.dump());
  try {
    const Recipe recipe = recipe_from_json(document, "tiny.toml");
    EXPECT_GE(steps_per_epoch(recipe), 1);
    EXPECT_EQ(options_to_json(recipe_from_json(options_to_json(recipe), "again")), options_to_json(recipe));
    take_a_step(recipe);
  } catch (const ConfigError& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    // Its own name, or that of what it makes together with others.
    EXPECT_TRUE(message.find(last_name(field)) != std::string::npos || message.find("would take") != std::string::npos)
        << message;
  }
}

TEST(Bounds, HoldForEveryNumberOfARecipe) {
  int64_t numbers = 0;
  for (const OptionHelp& row : options_help<Recipe>()) {
    if (!is_number(row)) continue;
    ++numbers;
    EXPECT_NE(row.range, "") << row.name;
    for (const Json& value : extremes()) {
      Json document = tiny();
      if (row.name.starts_with("model.state_mixers")) put(document, "model.state_mixers.*.type", "swiglu");
      put(document, row.name, value);
      expect_accepted_or_refused(document, row.name, value);
    }
  }
  EXPECT_GE(numbers, 35);
}

TEST(Bounds, HoldForEveryNumberOfEveryMixer) {
  for (const MixerEntry& mixer : mixer_registry()) {
    for (const OptionHelp& row : mixer.help()) {
      if (!is_number(row)) continue;
      EXPECT_NE(row.range, "") << mixer.name << "." << row.name;
      for (const Json& value : extremes()) {
        Json document = tiny();
        Json& options = document["model"]["mixers"][0];
        options = {{"type", mixer.name}};
        if (row.name != "num_heads" && mixer.help().front().name == "num_heads") options["num_heads"] = 2;
        put(options, row.name, value);
        expect_accepted_or_refused(document, row.name, value);
      }
    }
  }
}

TEST(Bounds, HoldForEveryNumberOfEveryFeatureMap) {
  std::vector<OptionHelp> rows = options_help<FeatureMapOptions>();
  for (const std::string& map : rows.front().choices) {
    for (const OptionHelp& row : rows) {
      if (!is_number(row)) continue;
      for (const Json& value : extremes()) {
        Json document = tiny();
        document["model"]["mixers"][0] = {{"type", "linear_attention"},
                                          {"num_heads", 2},
                                          {"feature_dim", 3},
                                          {"feature_map", {{"name", map}, {row.name, value}}}};
        expect_accepted_or_refused(document, row.name, value);
      }
    }
  }
}

TEST(Bounds, HoldForEveryNumberOfEveryTask) {
  for (const TaskInfo& task : list_tasks()) {
    for (const OptionHelp& row : task.options) {
      if (!is_number(row)) continue;
      EXPECT_NE(row.range, "") << task.name << "." << row.name;
      for (const Json& value : extremes()) {
        Json document = tiny();
        document["data"]["task"] = task.name;
        document["data"]["options"] = {{row.name, value}};
        expect_accepted_or_refused(document, row.name, value);
      }
    }
  }
}

template <class Options>
void expect_bounds() {
  for (const OptionHelp& row : options_help<Options>()) {
    if (!is_number(row)) continue;
    EXPECT_NE(row.range, "") << row.name;
    for (const Json& value : extremes()) {
      try {
        const auto options = options_from_json<Options>(Json{{row.name, value}}, "file");
        EXPECT_NO_THROW(options_from_json<Options>(options_to_json(options), "again"));
      } catch (const ConfigError& error) {
        EXPECT_THAT(error.what(), HasSubstr(row.name));
      }
    }
  }
}

TEST(Bounds, HoldForEveryOtherNumber) {
  expect_bounds<SamplingOptions>();
  expect_bounds<TrainerState>();
}

}  // namespace
}  // namespace rebased
