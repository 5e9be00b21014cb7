#include "text/utf8_stream.h"

namespace rebased {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD

}  // namespace

std::string Utf8Stream::feed(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (char byte : bytes) feed(static_cast<uint8_t>(byte), out);
  return out;
}

std::string Utf8Stream::finish() {
  const std::string rest = missing_ > 0 ? broken() : "";
  restart();
  return rest;
}

void Utf8Stream::pass_over(std::string_view bytes) {
  feed(bytes);
  passed_over_ = pending_.size();
}

void Utf8Stream::resume(const Begun& begun) {
  pass_over(begun.bytes.substr(0, begun.shown));
  feed(begun.bytes.substr(begun.shown));
}

void Utf8Stream::feed(uint8_t byte, std::string& out) {
  if (missing_ > 0 && (byte < lowest_ || byte > highest_)) {
    out += broken();
    restart();
  }
  if (missing_ == 0) return start(byte, out);
  pending_.push_back(static_cast<char>(byte));
  lowest_ = 0x80;
  highest_ = 0xbf;
  if (--missing_ == 0) {
    out += pending_.substr(passed_over_);
    restart();
  }
}

void Utf8Stream::start(uint8_t byte, std::string& out) {
  if (byte < 0x80) {
    out.push_back(static_cast<char>(byte));
    return;
  }
  if (byte < 0xc2 || byte > 0xf4) {
    out += kReplacement;
    return;
  }
  missing_ = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
  if (byte == 0xe0) lowest_ = 0xa0;   // no overlong forms
  if (byte == 0xf0) lowest_ = 0x90;   // nor here
  if (byte == 0xed) highest_ = 0x9f;  // no surrogates
  if (byte == 0xf4) highest_ = 0x8f;  // nothing above U+10FFFF
  pending_.push_back(static_cast<char>(byte));
}

std::string Utf8Stream::broken() const {
  return passed_over_ > 0 ? pending_.substr(passed_over_) : std::string(kReplacement);
}

void Utf8Stream::restart() { *this = Utf8Stream(); }

}  // namespace rebased
