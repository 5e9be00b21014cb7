#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "config/document.h"
#include "io/safetensors.h"

namespace rebased {

// What a checkpoint holds besides a model; the state is its last file.
inline constexpr const char* kOptimizerFile = "optimizer.safetensors";
inline constexpr const char* kTrainerStateFile = "trainer_state.json";

// A folder with config.json and the tensors: model.safetensors, or model.safetensors.index.json and its shards. Other
// files (tokenizer.json, ...) may lie beside them.
struct ModelFolder {
  std::string path;
  Json config;
  TensorSource tensors;
};

// Throws IoError that names what is missing, ConfigError for a bad config.json, FormatError for bad tensors. Brings
// back the old folder when a replacement was cut short (see replace_folder).
ModelFolder open_model_folder(const std::string& path);

// Whose the place of a model folder is: the user's, where only a model folder or an empty folder is replaced, or the
// program's own, such as a step of a run, where any folder is.
enum class Place { kUsers, kOwn };

// Writes a model folder as a whole: it grows as PATH.rebased-tmp-* beside `path` and takes its place in commit(). Until
// then, and if anything fails or the process is killed, what was at `path` before is still there, complete. Where
// `path` is a symbolic link, the folder that it names is written. The model that was there goes, other files in the
// folder stay (see replace_folder); a folder where a file of the model is a symbolic link is refused, for neither the
// link nor what it names is ours. Without commit() nothing is left behind, unless the process is killed: then
// PATH.rebased-tmp-* stays. All functions throw IoError, and FormatError for a file name that is not plain.
class ModelFolderWriter {
 public:
  explicit ModelFolderWriter(const std::string& path, Place place = Place::kUsers);
  ~ModelFolderWriter();
  ModelFolderWriter(const ModelFolderWriter&) = delete;
  ModelFolderWriter& operator=(const ModelFolderWriter&) = delete;

  void write_config(const Json& config);
  void write_tensors(std::span<const TensorToWrite> tensors, const std::map<std::string, std::string>& metadata = {},
                     std::string_view file = "model.safetensors");
  void write_file(std::string_view file, std::string_view bytes);  // a plain name
  void commit();                                                   // once, last; needs a config and tensors

 private:
  std::string path_of(std::string_view file) const;

  std::string path_;
  Place place_;
  std::string temporary_;
};

// How replace_folder goes about it: in one system call, or in two steps where the file system cannot exchange names.
enum class Replacement { kBest, kTwoSteps };

// Puts the folder `from` in the place of `to`, which need not exist, removes the model that `to` was and brings along
// whatever else lay in it under a name that `from` does not have. Both lie in one folder. The steps are TO ->
// TO.rebased-old, FROM -> TO; a process killed between them leaves TO.rebased-old, which recover_folder turns back into
// TO. Killed later, it leaves TO.rebased-old for the next replacement to tidy up. Throws IoError.
void replace_folder(const std::string& from, const std::string& to, Replacement how = Replacement::kBest);
void recover_folder(const std::string& path);

// Removes the model or checkpoint in a folder, whole or half written, and the folder if nothing else is left in it.
// Throws IoError.
void remove_model(const std::string& path);

bool is_checkpoint(const std::string& path);  // or what is left of one: it holds moments or the state of a trainer

}  // namespace rebased
