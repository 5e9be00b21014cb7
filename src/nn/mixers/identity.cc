#include "nn/mixers/identity.h"

namespace rebased {

MixerTraits IdentityMixer::traits() const {
  return {.state = MixerTraits::StateKind::kNone, .padding = true, .documents = true};
}

}  // namespace rebased
