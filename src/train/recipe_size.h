#pragma once

#include <string_view>

#include "train/recipe.h"

namespace rebased {

// Optimiser steps of one pass over the training split; 0 where the data has no epochs.
int64_t steps_per_epoch(const Recipe& recipe);

// Holds what the sizes of a recipe make together to the bounds of config/limits.h and to the memory that there is:
// steps, examples, parameters with gradients and moments, a training and an evaluation pass. The bytes are the least
// that these can take. Throws ConfigError; `where` names the recipe.
void check_recipe_size(const Recipe& recipe, std::string_view where);

// The part of it about an evaluation pass over `rows` rows: those of text are known once it is opened.
void check_evaluation_size(const Recipe& recipe, int64_t rows, std::string_view where);

}  // namespace rebased
