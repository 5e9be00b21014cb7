#include "record/run_folder.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/error.h"
#include "io/file.h"
#include "io/model_folder.h"
#include "io/system_call.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;

// The number behind `prefix` in a file name, nothing when the rest is not a number.
std::optional<int64_t> number_after(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  int64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number < 0) return std::nullopt;
  return number;
}

bool is_complete(const fs::path& checkpoint) {
  return fs::is_regular_file(checkpoint / kTrainerStateFile) && fs::is_regular_file(checkpoint / "model.safetensors");
}

// Every step-N folder, newest first, complete or not.
std::vector<CheckpointEntry> step_folders(const fs::path& checkpoints) {
  std::vector<CheckpointEntry> entries;
  if (!fs::is_directory(checkpoints)) return entries;
  for (const fs::directory_entry& entry : fs::directory_iterator(checkpoints)) {
    const auto step = number_after(entry.path().filename().string(), "step-");
    if (step && entry.is_directory()) entries.push_back({*step, entry.path()});
  }
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.step > b.step; });
  return entries;
}

// Without its state a checkpoint counts as incomplete, so an interrupted removal leaves nothing that loads.
void remove_checkpoint(const fs::path& checkpoint) {
  if (fs::is_symlink(checkpoint)) return;
  const fs::path state = checkpoint / kTrainerStateFile;
  if (!fs::is_symlink(state)) fs::remove(state);
  remove_model(checkpoint.string());
}

constexpr const char* kLockFile = "rebased.lock";
constexpr std::string_view kMark = "rebased trains in this folder\n";  // in the lock of a run that we began

// Whether the folder was made or taken for a run by us: a name alone may be anybody's.
bool is_marked(const fs::path& root) {
  const fs::path lock = root / kLockFile;
  return fs::is_regular_file(lock) && fs::file_size(lock) == kMark.size() && read_file(lock.string()) == kMark;
}

// Whether there is nothing in the folder that somebody could miss: not even a lock that had no time to be marked.
bool is_vacant(const fs::path& root) {
  const auto is_bare_lock = [](const fs::directory_entry& entry) {
    return entry.path().filename() == kLockFile && !entry.is_symlink() && entry.is_regular_file() &&
           entry.file_size() == 0;
  };
  return std::all_of(fs::directory_iterator(root), fs::directory_iterator(), is_bare_lock);
}

// A name that the process training in the folder gives to files and folders while it writes them.
bool is_leftover(const fs::path& entry) {
  const std::string name = entry.filename().string();
  const std::optional<std::string_view> wanted = name_before_temporary(name);
  if (!wanted) return false;
  if (entry.parent_path().filename() == "checkpoints") return number_after(*wanted, "step-").has_value();
  constexpr std::string_view kWritten[] = {
      "recipe.toml", "environment.json", "data.json", "metrics.jsonl", "report.html", "model", "last"};
  return std::find(std::begin(kWritten), std::end(kWritten), *wanted) != std::end(kWritten);
}

void remove_leftovers_in(const fs::path& folder) {
  if (!fs::is_directory(folder)) return;
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (!entry.is_symlink() && is_leftover(entry.path())) found.push_back(entry.path());
  }
  for (const fs::path& path : found) fs::is_directory(path) ? remove_model(path.string()) : void(fs::remove(path));
}

}  // namespace

RunFolder::RunFolder(fs::path root) : root_(std::move(root)) {
  std::optional<FileLock> lock = FileLock::take((root_ / kLockFile).string());
  if (!lock) throw IoError("{}: another process is training in this run", root_.string());
  lock_ = std::make_shared<const FileLock>(std::move(*lock));
}

RunFolder RunFolder::take(const fs::path& root) {
  RunFolder run(root);
  check_free(root);  // here, for until the lock was taken another process may have had the folder
  if (!is_marked(root)) append_to_file((root / kLockFile).string(), kMark);
  return run;
}

void check_run_name(std::string_view name) {
  constexpr size_t kLongest = 240;  // bytes, of the 255 that file systems take: a number may follow
  if (name.empty() || name == "." || name == ".." || name.find_first_of(std::string_view("/\0", 2)) != name.npos) {
    throw ConfigError("a run's name is a plain file name, found \"{}\"", name);
  }
  if (name.size() > kLongest) {
    throw ConfigError("a run's name has at most {} bytes, found {}: \"{}...\"", kLongest, name.size(),
                      name.substr(0, 40));
  }
}

void RunFolder::check_free(const fs::path& root) {
  with_io_errors([&] {
    if (is_begun(root)) {
      throw ConfigError(
          "{} already holds a run: go on with it by `rebased train {} --resume`, or choose another folder",
          root.string(), root.string());
    }
    if (fs::exists(root) && !fs::is_directory(root)) {
      throw ConfigError("{} is a file, expected a folder for the run", root.string());
    }
    if (fs::exists(root) && !is_marked(root) && !is_vacant(root)) {
      throw ConfigError("{} is not empty and is not a run (it has no recipe.toml): choose a new or empty folder",
                        root.string());
    }
  });
}

RunFolder RunFolder::create(const fs::path& root) {
  check_free(root);
  return with_io_errors([&] {
    fs::create_directories(follow_links(root.string()));
    RunFolder run = take(root);
    run.remove_leftovers();
    return run;
  });
}

RunFolder RunFolder::create_next(const fs::path& parent, std::string_view name) {
  check_run_name(name);
  return with_io_errors([&] {
    fs::create_directories(parent);
    int64_t highest = 0;
    const std::string prefix = std::string(name) + "-";
    for (const fs::directory_entry& entry : fs::directory_iterator(parent)) {
      highest = std::max(highest, number_after(entry.path().filename().string(), prefix).value_or(0));
    }
    fs::path root;
    do {
      root = parent / fmt::format("{}{:03}", prefix, ++highest);
    } while (!fs::create_directory(root));
    return take(root);
  });
}

RunFolder RunFolder::open(const fs::path& root) {
  if (!is_run(root)) throw ConfigError("{} is not a run: expected a folder with a recipe.toml", root.string());
  return RunFolder(root);
}

bool RunFolder::is_run(const fs::path& root) {
  std::error_code ignored;
  return fs::is_regular_file(root / "recipe.toml", ignored);
}

bool RunFolder::is_begun(const fs::path& root) {
  return with_io_errors([&] {
    const fs::path metrics = root / "metrics.jsonl";
    if (!is_marked(root)) return is_run(root);
    return !step_folders(root / "checkpoints").empty() || (fs::is_regular_file(metrics) && !fs::is_empty(metrics));
  });
}

fs::path RunFolder::checkpoint(int64_t step) const { return checkpoints() / fmt::format("step-{:06}", step); }

std::vector<CheckpointEntry> RunFolder::list_checkpoints() const {
  return with_io_errors([&] {
    std::vector<CheckpointEntry> entries = step_folders(checkpoints());
    std::erase_if(entries, [](const CheckpointEntry& entry) { return !is_complete(entry.path); });
    return entries;
  });
}

void RunFolder::remove_leftovers() const {
  with_io_errors([&] {
    if (!is_marked(root_)) return;
    remove_leftovers_in(root_);
    remove_leftovers_in(checkpoints());
  });
}

void RunFolder::prune_checkpoints(int64_t keep, int64_t newest) const {
  if (keep < 1) throw ConfigError("checkpoints to keep: expected at least 1, found {}", keep);
  with_io_errors([&] {
    int complete = 0;
    for (const CheckpointEntry& entry : step_folders(checkpoints())) {
      if (entry.step > newest) continue;
      const bool counts = is_complete(entry.path);
      if (counts && ++complete <= keep) continue;
      if (complete > 0) remove_checkpoint(entry.path);
    }
  });
}

}  // namespace rebased
