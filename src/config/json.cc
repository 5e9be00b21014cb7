#include "config/strict_json.h"

namespace rebased {

Json parse_json(std::string_view text, std::string_view file) { return parse_strict_json<Json>(text, file); }

}  // namespace rebased
