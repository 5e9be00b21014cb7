#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nn/sequence_mixer.h"

namespace rebased {

// One kind of sequence mixer that a config can name.
struct MixerEntry {
  std::string name;
  std::string summary;  // one line, for `rebased ls mixers`
  // The options with every default filled in; throws ConfigError (unknown keys, wrong values), `where` names the place.
  std::function<Json(const Json& options, std::string_view where)> resolve;
  std::function<std::unique_ptr<SequenceMixer>(const Json& options, std::string_view where, const Scope&,
                                               const MixerSetup&)>
      build;
  // Fills in options that a model from before them does not name; shape_of knows its tensors by the mixer's own names.
  std::function<void(Json& options, const ShapeOf& shape_of)> complete;
  std::function<std::vector<OptionHelp>()> help;
};

// Every mixer, in the order in which they are listed. An explicit list: nothing registers itself.
const std::vector<MixerEntry>& mixer_registry();

// Throws ConfigError "model.mixers[1]: unknown mixer 'rebase' (did you mean 'rebased'?)".
const MixerEntry& find_mixer(std::string_view name, std::string_view where);

// {"type": NAME, options...} with every option filled in; throws ConfigError, `where` names the place.
Json resolve_mixer(const Json& mixer, const std::string& where);
// The mixer that such a table says.
std::unique_ptr<SequenceMixer> build_mixer(const Json& mixer, const Scope& scope, const MixerSetup& setup);

// Makes the entry of a class that has an Options struct and a constructor (const Options&, const Scope&, const
// MixerSetup&), and where it has options that are mixers a static resolve_options(Options&, where).
template <class Mixer>
MixerEntry mixer_entry(std::string name, std::string summary) {
  using Options = typename Mixer::Options;
  return {.name = std::move(name),
          .summary = std::move(summary),
          .resolve =
              [](const Json& options, std::string_view where) {
                auto resolved = options_from_json<Options>(options, where);
                if constexpr (requires { Mixer::resolve_options(resolved, where); }) {
                  Mixer::resolve_options(resolved, where);
                }
                return options_to_json(resolved);
              },
          .build = [](const Json& options, std::string_view where, const Scope& scope,
                      const MixerSetup& setup) -> std::unique_ptr<SequenceMixer> {
            return std::make_unique<Mixer>(options_from_json<Options>(options, where), scope, setup);
          },
          .complete =
              [](Json& options, const ShapeOf& shape_of) {
                if constexpr (requires { Mixer::complete_options(options, shape_of); }) {
                  Mixer::complete_options(options, shape_of);
                }
              },
          .help = [] { return options_help<Options>(); }};
}

}  // namespace rebased
