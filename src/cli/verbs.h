#pragma once

#include "cli/command_line.h"

namespace rebased {

inline constexpr const char* kWeightsHelp =
    "f32, or packed while the model is read: bf16, int8 (a scale a row) or int4 (a scale for 32); default: as they are "
    "in the folder";

// One function a verb, in the order of `rebased --help`; each in the file of its name.
void add_train(CommandLine& root);  // and sweep and validate
void add_prepare(CommandLine& root);
void add_eval(CommandLine& root);
void add_generate(CommandLine& root);
void add_state(CommandLine& root);
void add_convert(CommandLine& root);
void add_ls(CommandLine& root);
void add_bench(CommandLine& root);

}  // namespace rebased
