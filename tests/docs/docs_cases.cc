#include "cores/core_case.h"
#include "cores/leaky_sum/leaky_sum.h"

namespace rebased::testing {
namespace {

using Cases = std::vector<CoreCase>;

#include "cores/leaky_sum/cases.cc"  // as on the page

}  // namespace

const std::vector<CoreFamily>& core_families() {
  static const std::vector<CoreFamily> families = {{"leaky_sum", leaky_sum_cases()}};
  return families;
}

}  // namespace rebased::testing
