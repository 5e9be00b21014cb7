#include "base/version.h"

#include "version_info.h"

namespace rebased {

std::string_view version() { return REBASED_VERSION; }
std::string_view git_commit() { return REBASED_COMMIT; }

}  // namespace rebased
