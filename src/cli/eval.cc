#include "cli/eval.h"

#include "cli/verbs.h"

namespace rebased {

ProgressOptions progress_options(const std::string& unit) {
  ProgressOptions options = progress_options_for_stderr();
  options.unit = unit;
  return options;
}

void add_eval(CommandLine& root) {
  CommandLine& verb = root.verb("eval", "measure a model");
  add_eval_mqar(verb);
  add_eval_ppl(verb);
  verb.example("rebased eval mqar model --tasks L=64,K=4");
}

}  // namespace rebased
