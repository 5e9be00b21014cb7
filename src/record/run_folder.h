#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace rebased {

struct CheckpointEntry {
  int64_t step;
  std::filesystem::path path;
};

// What a run leaves behind:
//   RUN/{recipe.toml, environment.json, metrics.jsonl, events.out.tfevents.*, log.txt, checkpoints/step-000123/,
//   report.html}
// A folder is a run when it holds a recipe.toml.
class RunFolder {
 public:
  // Makes the folder, or takes one that is empty but for what a killed process was writing. Throws ConfigError when it
  // holds a run already (the message says how to resume) or files of something else, IoError when it cannot be made.
  static RunFolder create(const std::filesystem::path& root);

  // create() on the first free of PARENT/NAME-001, NAME-002, ...: one more than the highest number in use. Two
  // processes never get the same folder. Throws ConfigError when `name` is not a plain file name.
  static RunFolder create_next(const std::filesystem::path& parent, std::string_view name);

  // An existing run. Throws ConfigError when there is none.
  static RunFolder open(const std::filesystem::path& root);

  static bool is_run(const std::filesystem::path& root);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path recipe() const { return root_ / "recipe.toml"; }
  std::filesystem::path environment() const { return root_ / "environment.json"; }
  std::filesystem::path metrics() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path log() const { return root_ / "log.txt"; }
  std::filesystem::path report() const { return root_ / "report.html"; }
  std::filesystem::path checkpoints() const { return root_ / "checkpoints"; }
  std::filesystem::path checkpoint(int64_t step) const;  // checkpoints/step-000123

  // Complete checkpoints, newest first. A checkpoint is complete when it holds model.safetensors and
  // trainer_state.json; the latter is to be written last.
  std::vector<CheckpointEntry> list_checkpoints() const;

  // Removes what a killed process was writing (*.tmp-*). Only one process may use the folder.
  void remove_leftovers() const;

  // Removes all but the newest `keep` complete checkpoints, and incomplete ones older than the newest complete one.
  // Throws ConfigError when keep < 1.
  void prune_checkpoints(int keep) const;

 private:
  explicit RunFolder(std::filesystem::path root) : root_(std::move(root)) {}
  std::filesystem::path root_;
};

}  // namespace rebased
