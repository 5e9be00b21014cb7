#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config/options.h"
#include "io/file.h"

namespace rebased {

// A text as byte ids, [0, size()): the bytes of some mapped files (or of a part of them), one directly after the other.
class ByteText {
 public:
  struct Piece {
    std::span<const std::byte> bytes;
    std::shared_ptr<const MappedFile> file;  // keeps the bytes alive; may be null
  };
  // `name` opens every message about this text. Empty pieces are dropped.
  ByteText(std::string name, std::vector<Piece> pieces);

  const std::string& name() const { return name_; }
  int64_t size() const { return starts_.back(); }
  const std::vector<Piece>& pieces() const { return pieces_; }
  void read(int64_t begin, int64_t count, int32_t* ids) const;  // 0 <= begin, begin + count <= size()
  ByteText part(std::string name, int64_t begin, int64_t end) const;

 private:
  std::string name_;
  std::vector<Piece> pieces_;
  std::vector<int64_t> starts_;  // of each piece, and the size
};

struct TextOptions {
  std::vector<std::string> train;
  std::vector<std::string> validation;
  double validation_fraction = 0.1;
  std::vector<std::string> extensions;

  template <class V>
  void visit(V& v) {
    v("train", train, "text files, or folders whose files are taken in the order of their paths");
    v("validation", validation, "text files or folders to validate on; none: the end of the training text");
    v("validation_fraction", validation_fraction, "the part of the text at its end that is kept for validation",
      between(0, 0.9));
    v("extensions", extensions, "take only these files of folders, such as \".txt\"; none: all");
  }
};

struct TextFile {
  std::string path;
  std::shared_ptr<const MappedFile> file;
};

// Training and validation text.
struct TextShards {
  ByteText train;
  ByteText validation;          // empty when there are no files for it and the fraction is 0
  std::vector<TextFile> files;  // all that were opened, in their order, those to train on first
};

// Maps the files. Throws ConfigError when `train` is empty, or IoError that names a file or folder that is missing,
// empty or holds no file of the wanted extensions. Empty files inside of folders are passed over.
TextShards open_text(const TextOptions& options);

// `batch` windows of seq_len + 1 ids, [batch, seq_len + 1]: inputs are the first seq_len of a row, targets the last.
// Places are uniform and a function of (seed, step, the sizes). Throws ConfigError that names a text too short for one
// window.
std::vector<int32_t> sample_windows(const ByteText& text, int64_t batch, int64_t seq_len, uint64_t seed, int64_t step);

// The windows that predict every id of the text but the first exactly once, in order: window i holds the ids
// [i * seq_len, i * seq_len + length), length <= seq_len + 1; only the last one may be shorter, and has at least 2.
// Throws ConfigError that names a text of fewer than 2 ids.
struct TextWindow {
  int64_t begin = 0;
  int64_t length = 0;
};
std::vector<TextWindow> sequential_windows(const ByteText& text, int64_t seq_len);

}  // namespace rebased
