#pragma once

#include <vector>

#include "contract/mixer_contract.h"

namespace rebased::testing {

// Linear attention with one known fault, and the promise that it breaks.
struct BrokenMixer {
  const char* fault;
  const char* broken_promise;
  Subject subject;
};
const std::vector<BrokenMixer>& broken_mixers();

// The same mixer without a fault.
Subject sound_mixer();

}  // namespace rebased::testing
