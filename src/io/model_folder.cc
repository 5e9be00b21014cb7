#include "io/model_folder.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <optional>
#include <vector>

#include "base/error.h"
#include "io/file.h"
#include "io/system_call.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfig = "config.json";
constexpr const char* kTensors = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kTokenizer = "tokenizer.json";

// Where a replacement in two steps keeps the old folder in between.
std::string old_name(const std::string& path) { return path + ".rebased-old"; }

bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

bool has_file(const std::string& folder, const char* file) {
  std::error_code error;
  return fs::is_regular_file(folder + "/" + file, error);
}

bool is_model_folder(const std::string& path) {
  return has_file(path, kConfig) && (has_file(path, kTensors) || has_file(path, kIndex));
}

// Absolute, without links at its end and without a trailing slash, so that names can be formed beside it.
std::string normal_path(const std::string& path) {
  if (path.empty()) throw IoError("the path of a model folder is empty");
  fs::path normal = fs::absolute(path).lexically_normal();
  if (!normal.has_filename()) normal = normal.parent_path();
  return follow_links(normal.string());
}

// "model-00001-of-00002.safetensors"
bool is_shard(std::string_view name) {
  constexpr std::string_view kPattern = "model-00000-of-00000.safetensors";
  return std::equal(name.begin(), name.end(), kPattern.begin(), kPattern.end(),
                    [](char c, char pattern) { return pattern == '0' ? c >= '0' && c <= '9' : c == pattern; });
}

// Whether a file of a model or checkpoint has this name.
bool is_model_name(std::string_view name) {
  constexpr std::string_view kNames[] = {kConfig, kTensors, kIndex, kTokenizer, kOptimizerFile, kTrainerStateFile};
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) || is_shard(name);
}

// As we write all files of models: a link, folder or device of such a name is the user's.
bool is_plain_file(const fs::path& entry) { return fs::is_regular_file(fs::symlink_status(entry)); }

// Whether an entry of a folder belongs to the model or checkpoint in it.
bool is_of_model(const fs::path& entry) {
  const std::string file = entry.filename().string();
  return is_plain_file(entry) && is_model_name(name_before_temporary(file).value_or(file));
}

std::vector<fs::path> entries_of(const std::string& folder) {
  std::vector<fs::path> entries;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) entries.push_back(entry.path());
  return entries;
}

// Ends what was a model folder before another took its place: what is not of the model moves there, unless the other
// has a file of that name.
void retire_folder(const std::string& old, const std::string& successor) {
  with_io_errors([&] {
    for (const fs::path& entry : entries_of(old)) {
      const std::string heir = successor + "/" + entry.filename().string();
      if (!exists(heir) && !is_of_model(entry)) {
        fs::rename(entry, heir);
      } else if (is_plain_file(entry)) {
        fs::remove(entry);
      }
    }
    if (fs::is_empty(old)) fs::remove(old);
  });
}

void rename_new(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) fail_errno(to, "put " + from + " in its place");
}

// The files of a new model would take the places of these.
void check_files_replaceable(const std::string& path) {
  with_io_errors([&] {
    for (const fs::path& entry : entries_of(path)) {
      if (!is_model_name(entry.filename().string()) || is_plain_file(entry)) continue;
      const char* kind = fs::is_symlink(entry) ? "a symbolic link" : "not a plain file";
      throw IoError("{}: is {}, so the model in this folder is not replaced", entry.string(), kind);
    }
  });
}

void check_replaceable(const std::string& path, Place place) {
  std::error_code error;
  if (!exists(path)) return;
  const bool replaceable =
      is_model_folder(path) || (fs::is_directory(path, error) && (place == Place::kOwn || fs::is_empty(path, error)));
  if (!replaceable || error) throw IoError("{}: exists and is not a model folder, so it is not replaced", path);
  check_files_replaceable(path);
}

// Puts the folder `from` in the place of `to`; -> where what was there lies now.
std::optional<std::string> take_place(const std::string& from, const std::string& to, Replacement how) {
  const std::string parent = folder_of(to);
  const std::string old = old_name(to);
  recover_folder(to);
  if (!exists(to)) {
    rename_new(from, to);
    sync_folder(parent);
    return std::nullopt;
  }
  if (exists(old)) retire_folder(old, to);  // `to` is complete: an earlier call had no time for this
  if (how == Replacement::kBest && ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) {
    sync_folder(parent);
    return from;
  }
  if (how == Replacement::kBest && errno != EINVAL && errno != ENOSYS) fail_errno(to, "replace");
  rename_new(to, old);
  try {
    sync_folder(parent);
    rename_new(from, to);
  } catch (const IoError&) {
    recover_folder(to);
    throw;
  }
  sync_folder(parent);
  return old;
}

}  // namespace

void recover_folder(const std::string& path) {
  const std::string old = old_name(path);
  if (exists(path) || !exists(old)) return;
  rename_new(old, path);
  sync_folder(folder_of(path));
}

void replace_folder(const std::string& from, const std::string& to, Replacement how) {
  if (const auto displaced = take_place(from, to, how)) retire_folder(*displaced, to);
}

void remove_model(const std::string& path) {
  with_io_errors([&] {
    for (const fs::path& entry : entries_of(path)) {
      if (is_of_model(entry)) fs::remove(entry);
    }
    if (fs::is_empty(path)) fs::remove(path);
  });
}

bool is_checkpoint(const std::string& path) {
  return has_file(path, kOptimizerFile) || has_file(path, kTrainerStateFile);
}

ModelFolder open_model_folder(const std::string& path) {
  const std::string folder = normal_path(path);
  recover_folder(folder);
  std::error_code error;
  if (!exists(folder)) throw IoError("{}: no such folder", path);
  if (!fs::is_directory(folder, error)) throw IoError("{}: expected a model folder, found a file", path);
  if (!has_file(folder, kConfig)) throw IoError("{}: no {} in this folder", path, kConfig);
  const bool single = has_file(folder, kTensors);
  if (!single && !has_file(folder, kIndex))
    throw IoError("{}: neither {} nor {} in this folder", path, kTensors, kIndex);
  const std::string config = folder + "/" + kConfig;
  Json document = parse_json(read_file(config), config);
  if (!document.is_object()) throw ConfigError("{}: expected a JSON object, found {}", config, document.type_name());
  return {folder, std::move(document), TensorSource::open(folder + "/" + (single ? kTensors : kIndex))};
}

ModelFolderWriter::ModelFolderWriter(const std::string& path, Place place) : path_(normal_path(path)), place_(place) {
  recover_folder(path_);
  check_replaceable(path_, place_);
  temporary_ = temporary_name(path_);
  if (::mkdir(temporary_.c_str(), 0777) != 0) fail_errno(temporary_, "create");
  std::error_code ignored;  // a private folder stays one, where the file system knows such
  const fs::file_status old = fs::status(path_, ignored);
  if (fs::is_directory(old)) fs::permissions(temporary_, old.permissions() | fs::perms::owner_all, ignored);
}

ModelFolderWriter::~ModelFolderWriter() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

std::string ModelFolderWriter::path_of(std::string_view file) const {
  check_file_name(file, path_);
  if (temporary_.empty()) throw IoError("{}: cannot write {} after commit", path_, file);
  return temporary_ + "/" + std::string(file);
}

void ModelFolderWriter::write_config(const Json& config) { write_file(kConfig, config.dump(2) + "\n"); }

void ModelFolderWriter::write_tensors(std::span<const TensorToWrite> tensors,
                                      const std::map<std::string, std::string>& metadata, std::string_view file) {
  write_safetensors(path_of(file), tensors, metadata);
}

void ModelFolderWriter::write_file(std::string_view file, std::string_view bytes) {
  write_file_atomic(path_of(file), bytes);
}

void ModelFolderWriter::commit() {
  if (temporary_.empty()) throw IoError("{}: cannot commit twice", path_);
  if (!is_model_folder(temporary_)) throw IoError("{}: cannot commit without {} and {}", path_, kConfig, kTensors);
  check_replaceable(path_, place_);
  sync_folder(temporary_);
  const auto displaced = take_place(temporary_, path_, Replacement::kBest);
  temporary_.clear();  // by now the model, or the folder that it displaced
  if (displaced) retire_folder(*displaced, path_);
}

}  // namespace rebased
