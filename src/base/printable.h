#pragma once

#include <string>
#include <string_view>

namespace rebased {

// The text with its control characters spelled out ("\n", "\x1b"), so that names from foreign files and from the
// command line can neither end a message early, nor break its line, nor command a terminal. Other bytes stay as they
// are.
std::string printable(std::string_view text);

// At most 60 bytes of the text, then "..." where there are more; no UTF-8 character is cut.
std::string shortened(std::string_view text);

}  // namespace rebased
