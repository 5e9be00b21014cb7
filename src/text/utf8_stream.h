#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rebased {

// Turns a stream of bytes into valid UTF-8 as early as it can be: a character leaves with its last byte, and U+FFFD
// stands for each longest beginning of a character that cannot go on. How the bytes are cut into calls changes nothing.
// Source: WHATWG Encoding, "UTF-8 decoder", without the removal of a byte order mark.
class Utf8Stream {
 public:
  std::string feed(std::string_view bytes);  // what the bytes complete
  std::string finish();                      // U+FFFD if a character was cut off; then starts anew

 private:
  void feed(uint8_t byte, std::string& out);
  void start(uint8_t byte, std::string& out);
  void restart();

  std::string pending_;                     // the beginning of a character
  int missing_ = 0;                         // bytes that it still needs
  uint8_t lowest_ = 0x80, highest_ = 0xbf;  // what the next of them may be
};

}  // namespace rebased
