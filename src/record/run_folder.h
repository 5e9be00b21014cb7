#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/file_lock.h"

namespace rebased {

struct CheckpointEntry {
  int64_t step;
  std::filesystem::path path;
};

// Throws ConfigError unless `name` is a plain file name.
void check_run_name(std::string_view name);

// What a run leaves behind:
//   RUN/{recipe.toml, environment.json, data.json, metrics.jsonl, events.out.tfevents.*, log.txt,
//   checkpoints/step-000123/, model/, last/, report.html, rebased.lock}
// A folder is a run when it holds a recipe.toml. Only one process has a run at a time: rebased.lock is locked while the
// RunFolder or a copy of it lives. The run is ours when that file holds our mark, which create() writes.
class RunFolder {
 public:
  // Makes the folder, or takes one that is empty or holds a run of ours that is not begun. Any other folder is left
  // untouched: throws ConfigError when it holds a run already (the message says how to resume) or files of something
  // else, IoError when it cannot be made or another process has it.
  static RunFolder create(const std::filesystem::path& root);
  static void check_free(const std::filesystem::path& root);  // throws what create() would say of such a folder

  // create() on the first free of PARENT/NAME-001, NAME-002, ...: one more than the highest number in use. Two
  // processes never get the same folder. Throws ConfigError when `name` is not a plain file name.
  static RunFolder create_next(const std::filesystem::path& parent, std::string_view name);

  // An existing run. Throws ConfigError when there is none, IoError when another process has it.
  static RunFolder open(const std::filesystem::path& root);

  static bool is_run(const std::filesystem::path& root);

  // Whether the folder holds something that training made: a checkpoint or a line of metrics. A run that is not ours,
  // of an earlier version or laid there by hand, counts as begun.
  static bool is_begun(const std::filesystem::path& root);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path recipe() const { return root_ / "recipe.toml"; }
  std::filesystem::path environment() const { return root_ / "environment.json"; }
  std::filesystem::path data() const { return root_ / "data.json"; }  // hashes of the text
  std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path log() const { return root_ / "log.txt"; }
  std::filesystem::path report() const { return root_ / "report.html"; }
  std::filesystem::path model() const { return root_ / "model"; }  // of the best evaluation
  std::filesystem::path last() const { return root_ / "last"; }    // of the last one
  std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
  std::filesystem::path checkpoint(int64_t step) const;  // checkpoints/step-000123

  // Complete checkpoints, newest first. A checkpoint is complete when it holds model.safetensors and
  // trainer_state.json; the latter is to be written last.
  std::vector<CheckpointEntry> list_checkpoints() const;

  // Removes what a killed process was writing of this run, if it is ours: the temporary names of its own files and
  // checkpoints.
  void remove_leftovers() const;

  // Of the checkpoints up to step `newest`, removes all but the newest `keep` complete ones, and incomplete ones older
  // than the newest complete one. Later ones are not this process's and stay. Other files in the folder of a checkpoint
  // stay too, and so does a checkpoint that is a symbolic link. Throws ConfigError when keep < 1.
  void prune_checkpoints(int64_t keep, int64_t newest) const;

 private:
  explicit RunFolder(std::filesystem::path root);            // locks it
  static RunFolder take(const std::filesystem::path& root);  // locks it, checks that it is free and marks it as ours
  std::filesystem::path root_;
  std::shared_ptr<const FileLock> lock_;
};

}  // namespace rebased
