#pragma once

#include <string>

#include "cli/command_line.h"
#include "record/progress.h"

namespace rebased {

ProgressOptions progress_options(const std::string& unit);  // of an evaluation that counts these

void add_eval_mqar(CommandLine& eval);
void add_eval_ppl(CommandLine& eval);

}  // namespace rebased
