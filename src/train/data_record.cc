#include "train/data_record.h"

#include <algorithm>

#include "base/error.h"
#include "config/document.h"
#include "io/file.h"

namespace rebased {
namespace {

struct DataRecord {
  std::vector<DataFile> files;

  template <class V>
  void visit(V& v) {
    v("files", files, "files of text, in the order in which they are read");
  }
};

// In JSON a path that is not UTF-8 is written with replacement characters.
std::string text_of(const DataRecord& record) { return json_text(options_to_json(record), 2) + "\n"; }

DataRecord parse(const std::string& text, const std::string& path) {
  return options_from_json<DataRecord>(parse_json(text, path), path);
}

DataRecord parse_begun(const std::string& text, const std::string& path) {
  try {
    return parse(text, path);
  } catch (const Error& error) {
    throw FormatError("{}; remove the file to go on with the text as it is now", error.what());
  }
}

// What has become of the first file that differs; the lists do differ.
std::string difference(const std::vector<DataFile>& then, const std::vector<DataFile>& now) {
  const auto [old, found] = std::mismatch(then.begin(), then.end(), now.begin(), now.end());
  const auto is_in = [](const std::vector<DataFile>& files, const std::string& path) {
    return std::any_of(files.begin(), files.end(), [&](const DataFile& file) { return file.path == path; });
  };
  if (old == then.end() || (found != now.end() && !is_in(then, found->path))) {
    return fmt::format("{} was not part of the text when the run began", found->path);
  }
  if (found == now.end() || !is_in(now, old->path)) return fmt::format("{} is no longer part of the text", old->path);
  if (old->path != found->path) return fmt::format("{} is read in another place of the text", old->path);
  return fmt::format("{} has changed since the run began: then {} bytes with hash {}, now {} with {}", old->path,
                     old->bytes, old->xxh64, found->bytes, found->xxh64);
}

}  // namespace

void record_or_compare_data(const RunFolder& folder, const TrainingData& data) {
  const std::string path = folder.data().string(), now = text_of({data.files()});
  if (!RunFolder::is_begun(folder.root()) || !std::filesystem::exists(folder.data())) {
    return write_file_atomic(path, now);
  }
  const std::string then = read_file(path);
  if (then == now) return;
  const std::vector<DataFile> old = parse_begun(then, path).files, found = parse(now, path).files;
  if (old == found) return;
  throw ConfigError("{}: {}; bring the old text back, or remove {} to go on with this one", folder.root().string(),
                    difference(old, found), path);
}

}  // namespace rebased
