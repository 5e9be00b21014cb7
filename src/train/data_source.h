#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "record/score.h"
#include "train/recipe.h"
#include "train/training_data.h"

namespace rebased {

// What is known of the data before it is opened.
struct DataSizes {
  int64_t vocabulary = 0;         // ids that the model must know
  int64_t train_rows = 0;         // of an epoch; 0: there are no epochs
  int64_t train_tokens = 0;       // of one of these rows
  int64_t test_rows = 0;          // of an evaluation; 0: known once the data is opened
  int64_t test_tokens = 0;        // of one of these
  bool tests_with_state = false;  // an evaluation holds a state of the model for each row of a pass
  bool has_positions = false;     // a model that says nothing gets a position table of the longest row

  int64_t longest() const { return train_tokens > test_tokens ? train_tokens : test_tokens; }
};

// A kind of data that recipes name. All of them are listed in data_source.cc.
class DataSource {
 public:
  virtual ~DataSource() = default;
  virtual std::string_view name() const = 0;
  virtual bool is_named_by(const DataRecipe& data) const = 0;
  virtual void resolve(DataRecipe&) const {}                  // fills in the defaults of options; throws ConfigError
  virtual DataSizes sizes(const DataRecipe& data) const = 0;  // of a resolved recipe, as are those below
  virtual std::vector<Score> scores() const = 0;              // without values; the first one judges the run

  // What open() would refuse: what the recipe itself tells, and what files tell at the price of mapping them.
  virtual void check(const DataRecipe&) const {}
  virtual void check_files(const Recipe&) const {}
  virtual std::unique_ptr<TrainingData> open(const Recipe& recipe) const = 0;  // throws ConfigError, IoError
};

// The one that the recipe names. Throws ConfigError when that is none or several; `where` names the recipe.
const DataSource& data_source(const DataRecipe& data, std::string_view where = "recipe");

}  // namespace rebased
