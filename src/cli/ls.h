#pragma once

#include "cli/command_line.h"

namespace rebased {

void add_ls_model(CommandLine& ls);

}  // namespace rebased
