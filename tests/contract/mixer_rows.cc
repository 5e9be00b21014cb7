#include "contract/mixer_rows.h"

#include <fmt/format.h>

#include "config/limits.h"
#include "nn/mixers/registry.h"

namespace rebased::testing {
namespace {

// What a mixer that sums over tokens and channels without cancellation takes: float32 rounds by 6e-8, and 130 channels
// and tokens are summed in chains that round a few times, 300 roundings in all.
constexpr double kSums = kLeastTolerance;
constexpr const char* kSumsReason = "300 roundings of 6e-8 along sums over tokens and channels";
// The running sums of a squared score cancel where a query is nearly orthogonal to the keys: relative errors grow by
// |q|^2 |k|^2 over the normaliser, which eps = 0.1 keeps below about 20.
constexpr double kSquares = 4e-4;
constexpr const char* kSquaresReason =
    "running sums of squared scores cancel: 20 times plain sums, with eps = 0.1 as the floor";
// With the published eps the normaliser may come as near to zero as the scores do.
constexpr double kBare = 2e-2;
constexpr const char* kBareReason = "a normaliser near zero (eps = 1e-12) magnifies the cancellation 1000 times";
constexpr const char* kRebasedSource = "arXiv:2402.10644 section 4";

void add_rebased_rows(std::vector<MixerRow>& rows) {
  for (const char* norm : {"joint", "per_head"}) {
    for (int switches = 0; switches < 8; ++switches) {
      const bool gamma = (switches & 4) != 0, beta = (switches & 2) != 0, normalize = (switches & 1) != 0;
      rows.push_back({fmt::format("rebased_{}_g{:d}b{:d}n{:d}", norm, gamma, beta, normalize), "rebased",
                      Json{{"num_heads", 2},
                           {"feature_dim", 4},
                           {"norm", norm},
                           {"use_gamma", gamma},
                           {"use_beta", beta},
                           {"normalize", normalize},
                           {"eps", 0.1}},
                      kSquares, kSquaresReason, kRebasedSource});
    }
  }
  auto add = [&](const char* name, Json options, double tolerance, const char* reason) {
    options["num_heads"] = 2;
    rows.push_back({fmt::format("rebased_{}", name), "rebased", options, tolerance, reason, kRebasedSource});
  };
  add("published_eps", {{"feature_dim", 16}}, kBare, kBareReason);
  add("elementwise", {{"feature_dim", 4}, {"similarity", "elementwise_square"}, {"eps", 0.1}}, kSums, kSumsReason);
  add("no_scale", {{"feature_dim", 5}, {"use_scale", false}, {"eps", 0.1}}, kSquares, kSquaresReason);
  add("elementwise_no_scale",
      {{"feature_dim", 5}, {"similarity", "elementwise_square"}, {"use_scale", false}, {"eps", 0.1}}, kSums,
      kSumsReason);
  add("no_output_norm", {{"feature_dim", 4}, {"normalize_output", false}}, kSums, kSumsReason);
  add("value_width", {{"feature_dim", 4}, {"head_dim", 5}, {"norm_eps", 1e-3}, {"eps", 0.1}}, kSquares, kSquaresReason);
}

void add_based_rows(std::vector<MixerRow>& rows) {
  auto add = [&](const char* name, Json options) {
    options["num_heads"] = 2;
    rows.push_back(
        {fmt::format("based_{}", name), "based", options, kSums, kSumsReason, "arXiv:2402.18668 section 4.1"});
  };
  add("plain", {{"feature_dim", 4}});
  add("qk_norm", {{"feature_dim", 4}, {"qk_norm", true}, {"norm_eps", 1e-3}});
  add("rope", {{"feature_dim", 4}, {"rope_base", 1000.0}});
  add("value_width", {{"feature_dim", 5}, {"head_dim", 3}, {"eps", 0.1}});
}

void add_linear_rows(std::vector<MixerRow>& rows) {
  auto add = [&](const std::string& name, const Json& map, Json options = Json::object(), double tolerance = kSums,
                 const char* reason = kSumsReason) {
    options["num_heads"] = 2;
    options["feature_dim"] = 4;
    options["feature_map"] = map;
    rows.push_back({"linear_" + name, "linear_attention", options, tolerance, reason, "arXiv:2006.16236 section 3"});
  };
  const Json unnormalised{{"normalize", false}, {"output_norm", true}, {"output_norm_eps", 1e-2}, {"use_scale", true}};
  add("elu", {{"name", "elu"}, {"temperature", 0.5}}, {{"eps", 1e-6}});
  add("relu", {{"name", "relu"}, {"floor", 0.01}, {"temperature", 2.0}}, {{"head_dim", 3}});
  add("identity", {{"name", "identity"}}, unnormalised);
  add("square", {{"name", "square"}}, {{"eps", 0.1}});
  add("scaled_square", {{"name", "scaled_square"}}, {{"eps", 0.1}});
  add("taylor", {{"name", "taylor"}});
  add("taylor_packed", {{"name", "taylor_packed"}});
  add("all_poly", {{"name", "all_poly"}, {"size", 6}}, unnormalised);
  add("all_poly_untied", {{"name", "all_poly"}, {"tie", false}}, unnormalised);
  add("performer", {{"name", "performer"}, {"size", 12}});
  add("hedgehog", {{"name", "hedgehog"}});
  add("hedgehog_untied", {{"name", "hedgehog"}, {"tie", false}, {"bias", true}});
  Json scaled_by_map = unnormalised;
  scaled_by_map["scale_by_map"] = true;
  add("dpfp", {{"name", "dpfp"}, {"nu", 3}}, scaled_by_map);
  add("hadamard", {{"name", "hadamard"}}, unnormalised);
}

void add_retnet_rows(std::vector<MixerRow>& rows) {
  auto add = [&](const char* name, Json options) {
    options["num_heads"] = 2;
    rows.push_back(
        {fmt::format("retnet_{}", name), "retnet", options, kSums, kSumsReason, "arXiv:2307.08621 section 2"});
  };
  add("plain", {{"norm_eps", 1e-2}});
  add("widths", {{"key_dim", 6}, {"value_dim", 5}, {"first_decay", 1.0}, {"rope_base", 100.0}, {"norm_eps", 1e-2}});
  add("of_fla", {{"rope_endpoint", false}, {"norm_weight", true}, {"norm_eps", 1e-2}});
  add("bare", {{"key_dim", 3}, {"rope_base", 0.0}, {"gate", false}, {"norm_eps", 1e-2}});
}

void add_softmax_rows(std::vector<MixerRow>& rows) {
  auto add = [&](const std::string& type, const char* name, const Json& options) {
    rows.push_back({type + "_" + name, type, options, kSums, kSumsReason, "arXiv:1706.03762 section 3.2"});
  };
  for (const char* type : {"attention", "sliding_window"}) {
    const Json base = type == std::string("attention") ? Json::object() : Json{{"window", 8}};
    auto with = [&](const Json& options) {
      Json all = base;
      all.update(options);
      return all;
    };
    add(type, "one_head", with(Json::object()));
    add(type, "grouped", with({{"num_heads", 4}, {"num_kv_heads", 2}, {"head_dim", 6}}));
    add(type, "half_rope", with({{"num_heads", 2}, {"rope_fraction", 0.5}, {"rope_base", 100.0}}));
    add(type, "rope", with({{"num_heads", 2}, {"rope_fraction", 1.0}}));
    add(type, "qk_norm", with({{"num_heads", 2}, {"qk_norm", true}, {"qk_norm_eps", 1e-2}}));
    add(type, "additive_mask", with({{"num_heads", 2}, {"additive_mask", true}}));
    add(type, "no_biases", with({{"num_heads", 2}, {"qkv_bias", false}, {"out_bias", false}}));
    add(type, "both_ways", with({{"num_heads", 2}, {"causal", false}, {"rope_fraction", 1.0}}));
    add(type, "dropout", with({{"num_heads", 2}, {"dropout", 0.3}}));
  }
  add("sliding_window", "of_one", {{"window", 1}, {"num_heads", 2}});
  add("sliding_window", "wider_than_any_row", {{"window", kMostTokens}});
  add("sliding_window", "of_three", {{"window", 3}, {"num_heads", 2}, {"rope_fraction", 1.0}});
}

void add_convolution_rows(std::vector<MixerRow>& rows) {
  auto short_conv = [&](const char* name, const Json& options) {
    rows.push_back(
        {fmt::format("short_conv_{}", name), "short_conv", options, kSums, kSumsReason, "arXiv:2312.04927 appendix"});
  };
  short_conv("plain", Json::object());
  short_conv("silu", {{"kernel", 4}, {"silu", true}, {"bias", false}});
  short_conv("of_one", {{"kernel", 1}});
  auto base_conv = [&](const char* name, const Json& options, int64_t max_tokens = 0) {
    rows.push_back({fmt::format("base_conv_{}", name), "base_conv", options, kSums, kSumsReason,
                    "arXiv:2312.04927 section 4", max_tokens});
  };
  base_conv("plain", Json::object());
  base_conv("act", {{"kernel", 4}, {"use_act", true}});
  base_conv("gated", {{"form", "gated"}, {"expand", 2}});
  base_conv("long", {{"filter", "long"}, {"max_tokens", 130}});
  base_conv("implicit", {{"filter", "implicit"}}, 130);
  base_conv("implicit_wide", {{"filter", "implicit"}, {"filter_hidden", 20}, {"max_tokens", 130}});
}

std::vector<MixerRow> make_rows() {
  std::vector<MixerRow> rows;
  add_rebased_rows(rows);
  add_based_rows(rows);
  add_linear_rows(rows);
  add_retnet_rows(rows);
  add_softmax_rows(rows);
  add_convolution_rows(rows);
  const auto bidirectional = [&](const char* name, const Json& options, double tolerance, const char* reason) {
    rows.push_back({fmt::format("bidirectional_{}", name), "bidirectional", options, tolerance, reason,
                    "arXiv:2401.09417 section 3.2"});
  };
  bidirectional("rebased", {{"mixer", {{"type", "rebased"}, {"num_heads", 2}, {"feature_dim", 4}, {"eps", 0.1}}}},
                kSquares, kSquaresReason);
  bidirectional("conv", {{"mixer", {{"type", "base_conv"}}}, {"join", "concat"}}, kSums, kSumsReason);
  bidirectional("window", {{"mixer", {{"type", "sliding_window"}, {"window", 3}}}}, kSums, kSumsReason);
  rows.push_back({"identity", "identity", Json::object(), kSums, kSumsReason, "no mixing"});
  return rows;
}

}  // namespace

const std::vector<MixerRow>& mixer_rows() {
  static const std::vector<MixerRow> rows = make_rows();
  return rows;
}

Subject subject_of(const MixerRow& row) {
  return {
      .name = row.name,
      .build =
          [row](const Scope& scope, const MixerSetup& setup) {
            return find_mixer(row.type, row.name).build(row.options, row.name, scope, setup);
          },
      .tolerance = row.tolerance,
      .forms = row.type == "rebased" || row.type == "based" || row.type == "linear_attention" || row.type == "retnet",
      .max_tokens = row.max_tokens};
}

}  // namespace rebased::testing
