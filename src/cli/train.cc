#include <string>
#include <vector>

#include "cli/trainer.h"
#include "cli/verbs.h"
#include "io/program.h"

namespace rebased {

void execute_trainer(const std::string& verb, const std::vector<std::string>& typed) {
  std::vector<std::string> words = {verb};
  words.insert(words.end(), typed.begin(), typed.end());
  execute_program("rebased-train", "which does the training", words);
}

void add_train(CommandLine& root) {
  for (const auto& [name, summary] :
       {std::pair{"train", "train a model from a recipe"}, std::pair{"sweep", "train a grid of recipes"},
        std::pair{"validate", "build what a recipe says, try one batch, and stop"}}) {
    root.verb(name, summary).forward([verb = std::string(name)](const std::vector<std::string>& typed) {
      execute_trainer(verb, typed);
    });
  }
}

}  // namespace rebased
