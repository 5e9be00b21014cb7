#pragma once

#include <string>
#include <string_view>

#include "golden/golden_file.h"
#include "store/parameters.h"

namespace rebased::testing {

// The name that a parameter of the public code has here.
std::string our_name(std::string_view public_name);

// Gives every parameter of the store the golden's values under `prefix` ("param.", "init."), as leaves, and says what
// each is called there: public name -> parameter; buffers from "buffer." too. Fails the test for parameters that one
// side lacks.
std::map<std::string, Param*> load_public(const Golden& golden, const std::string& prefix, ParameterStore& store,
                                          Engine& engine);

}  // namespace rebased::testing
