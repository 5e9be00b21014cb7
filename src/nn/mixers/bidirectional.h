#pragma once

#include <memory>
#include <string>

#include "config/options.h"
#include "nn/layers.h"
#include "nn/sequence_mixer.h"

namespace rebased {

// A causal mixer over each document from its beginning and another one, with weights of its own, from its end
// (arXiv:2401.09417 section 3.2 for the idea): their sum, or a projection of both. docs/mixers/bidirectional.md.
class BidirectionalMixer : public SequenceMixer {
 public:
  struct Options {
    Json mixer = Json{{"type", "rebased"}};
    std::string join = "sum";

    template <class V>
    void visit(V& v) {
      v("mixer", mixer, "the mixer of both directions, {type = NAME, options}");
      v("join", join, "sum: of both outputs; concat: a projection of both side by side", one_of({"sum", "concat"}));
    }
  };

  static void resolve_options(Options& options, std::string_view where);

  BidirectionalMixer(const Options& options, const Scope& scope, const MixerSetup& setup);

  MixerTraits traits() const override;
  std::vector<StateArray> state_arrays(int64_t) const override { return {}; }
  void after_step(int64_t step, uint64_t key) override;

 protected:
  MixerOutput run(const Value& x, const Context& ctx, MixerState* state) override;
  bool resets(const Layout&) const override { return true; }

 private:
  std::unique_ptr<SequenceMixer> forward_, backward_;
  Linear out_proj_;
  bool concat_;
};

}  // namespace rebased
