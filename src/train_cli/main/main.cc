#include <string>
#include <vector>

#include "io/program.h"
#include "train/trainer.h"
#include "train_cli/commands.h"

namespace rebased {
namespace {

std::vector<std::string> words;  // of the command line, behind the program

// Devices of libtorch are those of the program that has it.
std::unique_ptr<Engine> make_engine(const Recipe& recipe) {
  if (recipe.device != "cpu") {
    execute_program("rebased-train-torch", "which trains on device \"" + recipe.device + "\"", words);
  }
  return make_tape_engine(recipe);
}

}  // namespace
}  // namespace rebased

int main(int argc, char** argv) {
  rebased::words.assign(argv + 1, argv + argc);
  return rebased::run_trainer("rebased-train", argc, argv, rebased::make_engine);
}
