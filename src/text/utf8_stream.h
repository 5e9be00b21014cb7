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
  std::string finish();                      // what stands for a character that was cut off; then starts anew

  // Bytes that the reader has already. When they end inside a character, the bytes that go on with it come out as they
  // are, for the reader has its beginning: what was passed over and what comes out are together the text that feed()
  // would have made of both, once U+FFFD stands for what is not UTF-8.
  void pass_over(std::string_view bytes);

  // A character that has begun: its bytes so far, of which the reader has the first `shown`.
  struct Begun {
    std::string bytes;
    size_t shown = 0;
  };
  Begun begun() const { return {pending_, passed_over_}; }
  // In a stream that has seen nothing: goes on where the one that gave `begun` stood.
  void resume(const Begun& begun);

 private:
  void feed(uint8_t byte, std::string& out);
  void start(uint8_t byte, std::string& out);
  void restart();
  std::string broken() const;  // what stands for a character that cannot go on

  std::string pending_;                     // the beginning of a character
  size_t passed_over_ = 0;                  // bytes of it that the reader has
  int missing_ = 0;                         // bytes that it still needs
  uint8_t lowest_ = 0x80, highest_ = 0xbf;  // what the next of them may be
};

}  // namespace rebased
