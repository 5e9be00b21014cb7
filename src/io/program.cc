#include "io/program.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/error.h"
#include "io/system_call.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;

std::string find_program(const std::string& name, const std::string& purpose) {
  std::vector<fs::path> folders = {fs::read_symlink("/proc/self/exe").parent_path()};
  const char* path = std::getenv("PATH");
  const std::string all = path != nullptr ? path : "";
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = std::min(all.find(':', begin), all.size());
    folders.emplace_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
  for (const fs::path& folder : folders) {
    const fs::path candidate = folder / name;
    if (fs::is_regular_file(candidate) && ::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  throw IoError("{}, {}, is neither beside this program nor in PATH", name, purpose);
}

}  // namespace

void execute_program(const std::string& name, const std::string& purpose, const std::vector<std::string>& words) {
  std::string program = find_program(name, purpose);
  std::vector<std::string> all = {program};
  all.insert(all.end(), words.begin(), words.end());
  std::vector<char*> argv;
  for (std::string& word : all) argv.push_back(word.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  fail_errno(program, "execute");
}

}  // namespace rebased
