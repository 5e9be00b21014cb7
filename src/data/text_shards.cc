#include "data/text_shards.h"

#include <algorithm>
#include <filesystem>

#include "base/error.h"
#include "base/rng.h"

namespace rebased {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> files_of_folder(const std::string& folder, const std::vector<std::string>& extensions) {
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string extension = entry.path().extension().string();
    const bool wanted =
        extensions.empty() || std::find(extensions.begin(), extensions.end(), extension) != extensions.end();
    if (wanted && entry.is_regular_file() && entry.file_size() > 0) files.push_back(entry.path().string());
  }
  if (files.empty()) {
    throw IoError("{}: the folder holds no file with text{}{}", folder, extensions.empty() ? "" : " named *",
                  fmt::join(extensions, ", *"));
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> files_at(const std::string& path, const std::vector<std::string>& extensions) {
  try {
    if (!fs::exists(path)) throw IoError("{}: no such text file or folder", path);
    if (fs::is_directory(path)) return files_of_folder(path, extensions);
    if (fs::is_regular_file(path) && fs::file_size(path) == 0) throw IoError("{}: the text file is empty", path);
    return {path};
  } catch (const fs::filesystem_error& error) {
    throw IoError("{}: {}", path, error.code().message());
  }
}

// The files opened are added to `files`.
ByteText open_paths(const std::vector<std::string>& paths, const std::vector<std::string>& extensions,
                    std::vector<TextFile>& files) {
  std::vector<ByteText::Piece> pieces;
  for (const std::string& path : paths) {
    for (const std::string& name : files_at(path, extensions)) {
      auto file = MappedFile::open(name);
      pieces.push_back({file->bytes(), file});
      files.push_back({name, file});
    }
  }
  return {fmt::format("{}", fmt::join(paths, ", ")), std::move(pieces)};
}

}  // namespace

ByteText::ByteText(std::string name, std::vector<Piece> pieces) : name_(std::move(name)), pieces_(std::move(pieces)) {
  std::erase_if(pieces_, [](const Piece& piece) { return piece.bytes.empty(); });
  starts_.push_back(0);
  for (const Piece& piece : pieces_) starts_.push_back(starts_.back() + static_cast<int64_t>(piece.bytes.size()));
}

void ByteText::read(int64_t begin, int64_t count, int32_t* ids) const {
  auto piece = static_cast<size_t>(std::upper_bound(starts_.begin(), starts_.end(), begin) - starts_.begin()) - 1;
  while (count > 0) {
    const std::byte* bytes = pieces_[piece].bytes.data() + (begin - starts_[piece]);
    const int64_t here = std::min(count, starts_[piece + 1] - begin);
    for (int64_t i = 0; i < here; ++i) ids[i] = std::to_integer<int32_t>(bytes[i]);
    ids += here;
    begin += here;
    count -= here;
    ++piece;
  }
}

ByteText ByteText::part(std::string name, int64_t begin, int64_t end) const {
  std::vector<Piece> kept;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const int64_t low = std::max(begin, starts_[i]), high = std::min(end, starts_[i + 1]);
    if (low >= high) continue;
    kept.push_back({pieces_[i].bytes.subspan(low - starts_[i], high - low), pieces_[i].file});
  }
  return {std::move(name), std::move(kept)};
}

TextShards open_text(const TextOptions& options) {
  if (options.train.empty()) throw ConfigError("train must name at least one text file or folder, found none");
  const double fraction = options.validation_fraction;
  if (!(fraction >= 0 && fraction <= 0.9)) {
    throw ConfigError("validation_fraction must be in [0, 0.9], found {}", fraction);
  }
  std::vector<TextFile> files;
  ByteText all = open_paths(options.train, options.extensions, files);
  if (!options.validation.empty()) {
    ByteText validation = open_paths(options.validation, options.extensions, files);
    return {std::move(all), std::move(validation), std::move(files)};
  }
  const int64_t kept = all.size() - static_cast<int64_t>(static_cast<double>(all.size()) * fraction);
  return {all.part(all.name() + " (training part)", 0, kept),
          all.part(all.name() + " (validation part)", kept, all.size()), std::move(files)};
}

std::vector<int32_t> sample_windows(const ByteText& text, int64_t batch, int64_t seq_len, uint64_t seed, int64_t step) {
  if (batch < 1 || seq_len < 1) throw ConfigError("batch and seq_len must be at least 1, found {}, {}", batch, seq_len);
  const int64_t places = text.size() - seq_len;
  if (places < 1) {
    throw ConfigError("{}: a window of seq_len + 1 = {} bytes needs more text than the {} bytes found", text.name(),
                      seq_len + 1, text.size());
  }
  std::vector<int32_t> ids(static_cast<size_t>(batch * (seq_len + 1)));
  Rng rng(derive_key(seed, "text.windows", step));
  for (int64_t row = 0; row < batch; ++row) {
    text.read(static_cast<int64_t>(rng.below(places)), seq_len + 1, ids.data() + row * (seq_len + 1));
  }
  return ids;
}

std::vector<TextWindow> sequential_windows(const ByteText& text, int64_t seq_len) {
  if (seq_len < 1) throw ConfigError("seq_len must be at least 1, found {}", seq_len);
  if (text.size() < 2) throw ConfigError("{}: a window needs at least 2 bytes, found {}", text.name(), text.size());
  std::vector<TextWindow> windows;
  for (int64_t begin = 0; begin < text.size() - 1;) {
    const int64_t targets = std::min(seq_len, text.size() - 1 - begin);
    windows.push_back({begin, targets + 1});
    begin += targets;
  }
  return windows;
}

}  // namespace rebased
