#pragma once

#include <vector>

#include "config/options.h"
#include "contract/subject.h"

namespace rebased::testing {

// One configuration of a registered mixer: the contract is run on each.
struct MixerRow {
  std::string name;  // of the test
  std::string type;  // in the registry
  Json options;
  double tolerance;    // see Subject
  const char* reason;  // of that tolerance
  const char* source;
  int64_t max_tokens = 0;
};

const std::vector<MixerRow>& mixer_rows();
Subject subject_of(const MixerRow& row);

}  // namespace rebased::testing
