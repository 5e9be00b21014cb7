#include "io/program.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <new>

#include "base/error.h"
#include "base/printable.h"
#include "io/standard_streams.h"
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

constexpr int kUsage = 2;

}  // namespace

std::string error_sentence(const std::exception& error) {
  // The second is thrown by a container that is asked for more than there are addresses.
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
      dynamic_cast<const std::length_error*>(&error) != nullptr) {
    return "there is not enough memory for this";
  }
  if (const auto* file = dynamic_cast<const fs::filesystem_error*>(&error); file != nullptr) {
    return printable(fmt::format("{}: {}", file->path1().string(), file->code().message()));
  }
  return printable(error.what());
}

int run_program(const std::function<int()>& work) {
  try {
    prepare_standard_streams();
    return work();
  } catch (const OutputClosed&) {
    end_by_broken_pipe();
  } catch (const std::exception& error) {
    std::fputs(("rebased: " + error_sentence(error) + "\n").c_str(), stderr);
    const bool usage = dynamic_cast<const UsageError*>(&error) != nullptr;
    return usage || dynamic_cast<const ConfigError*>(&error) != nullptr ? kUsage : EXIT_FAILURE;
  }
}

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
