#include "nn/mixers/identity.h"

namespace rebased {

MixerTraits IdentityMixer::traits() const {
  return {.state = MixerTraits::StateKind::kNone, .prefix = MixerTraits::Prefix::kIndifferent};
}

}  // namespace rebased
