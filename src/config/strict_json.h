#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "config/document.h"

namespace rebased {

// parse_json into either kind of nlohmann document: nlohmann::json finds keys in logarithmic time, Json keeps their
// order. The library itself would keep the last of several equal keys and recurse as deep as the text asks.
template <class Document>
Document parse_strict_json(std::string_view text, std::string_view file) {
  using Event = typename Document::parse_event_t;
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  auto watch = [&](int depth, Event event, Document& parsed) {
    if (depth > kMaxDocumentDepth) throw ConfigError("{}: nested deeper than {} levels", file, int{kMaxDocumentDepth});
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(parsed.template get<std::string>()).second) {
      throw ConfigError("{}: key '{}' stands twice in one object", file, parsed.template get<std::string>());
    }
    return true;
  };
  // The library takes a zero byte for the end of the text and would ignore what follows.
  if (text.find('\0') != std::string_view::npos) throw ConfigError("{}: parse error: a zero byte is not JSON", file);
  try {
    return Document::parse(text, watch);
  } catch (const nlohmann::json::exception& error) {
    const std::string_view what = error.what();  // "[json.exception...] sentence"
    throw ConfigError("{}: {}", file, what.substr(std::min(what.find("] ") + 2, what.size())));
  }
}

}  // namespace rebased
