#include "golden/public_names.h"

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <array>
#include <set>
#include <utility>

#include "base/error.h"
#include "golden/golden_check.h"

namespace rebased::testing {

std::string our_name(std::string_view public_name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 15> kReplacements = {{
      {"feature_map.random_feats", "feature_map.projection"},
      {"backbone.", ""},
      {"sequence_mixer.mixer.", "mixer."},
      {"sequence_mixer.", "mixer."},
      {"conv.conv.", "conv."},
      {"conv.pos_emb.z", "conv.lag_features"},
      {"q_proj", "proj_q"},
      {"k_proj", "proj_k"},
      {"v_proj", "proj_v"},
      {"g_proj", "proj_g"},
      {"o_proj", "proj_o"},
      {"feature_map.gamma", "ln_qk.weight"},
      {"feature_map.beta", "ln_qk.bias"},
      {".gamma", ".weight"},
      {".beta", ".bias"},
  }};
  std::string name(public_name);
  for (const auto& [from, to] : kReplacements) {
    if (const size_t at = name.find(from); at != std::string::npos) name.replace(at, from.size(), to);
  }
  return name;
}

std::map<std::string, Param*> load_public(const Golden& golden, const std::string& prefix, ParameterStore& store,
                                          Engine& engine) {
  std::map<std::string, Param*> loaded;
  std::set<std::string> missing;
  for (const Param& param : store.params()) missing.insert(param.spec.name);
  for (const std::string& from : {prefix, std::string("buffer.")}) {
    for (const std::string& name : golden.names(from)) {
      if (missing.erase(our_name(name)) == 0) {
        EXPECT_TRUE(from == "buffer." || golden.unused(name)) << "no parameter stands for " << name;
        continue;
      }
      Param& param = store.at(our_name(name));
      const HostArray array = golden.array(from + name);
      if (array.shape.numel() != param.spec.shape.numel()) {
        throw ShapeError("{}: expected {}, found {} in the golden", name, param.spec.shape.str(), array.shape.str());
      }
      param.value =
          param.spec.trainable ? leaf(engine, array.as(param.spec.shape)) : write(engine, array.as(param.spec.shape));
      loaded[name] = &param;
    }
  }
  if (!missing.empty()) throw FormatError("{}: nothing for {}", golden.path(), fmt::join(missing, ", "));
  return loaded;
}

}  // namespace rebased::testing
