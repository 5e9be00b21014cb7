#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.h"
#include "cli/trainer.h"
#include "cli/verbs.h"
#include "io/system_call.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;

// rebased-train beside this executable, else in PATH; it sees torch, and this executable does not.
std::string find_trainer() {
  std::vector<fs::path> folders = {fs::read_symlink("/proc/self/exe").parent_path()};
  const char* path = std::getenv("PATH");
  const std::string all = path != nullptr ? path : "";
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = std::min(all.find(':', begin), all.size());
    folders.emplace_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
  for (const fs::path& folder : folders) {
    const fs::path candidate = folder / "rebased-train";
    if (fs::is_regular_file(candidate) && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  throw IoError(
      "rebased-train, which does the training, is neither beside rebased nor in PATH: build it with libtorch");
}

}  // namespace

void execute_trainer(const std::string& verb, const std::vector<std::string>& typed) {
  const std::string trainer = find_trainer();
  std::vector<std::string> words = {trainer, verb};
  words.insert(words.end(), typed.begin(), typed.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(trainer.c_str(), argv.data());
  fail_errno(trainer, "execute");
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
