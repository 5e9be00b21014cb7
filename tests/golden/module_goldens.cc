#include <gtest/gtest.h>

#include "golden/handlers.h"
#include "golden/public_names.h"
#include "nn/mixers/registry.h"
#include "nn/state_mixer.h"

namespace rebased::testing {
namespace {

using Module = std::function<Value(const Value& x, const Context& ctx)>;
using Build = std::function<Module(const Scope& scope)>;

// A module of ours with the golden's parameters: x, dy -> y and the gradients of x and of every parameter.
void check_module(const Golden& golden, Ordering ordering, const Build& build, bool causal = true) {
  const HostArray x_in = golden.array("x");
  check_golden(golden, ordering, [&](Engine& engine, Form form, int64_t chunk) {
    ParameterStore store;
    const Module module = build(Scope(store, "", 0.02, 0.02));
    Computation computation;
    const Value x = leaf(engine, x_in);
    computation.gradients.push_back({"dx", x, golden.array("dx")});
    for (const auto& [name, param] : load_public(golden, "param.", store, engine)) {
      if (!param->spec.trainable || golden.unused(name)) continue;
      computation.gradients.push_back(
          {"grad." + name, param->value, golden.array("grad." + name).as(param->spec.shape)});
    }
    Context ctx;
    ctx.form = form;
    ctx.chunk = chunk;
    const Layout prefix = Layout::whole(x.size(0), x.size(1))
                              .with_prefixes(std::vector<int64_t>(static_cast<size_t>(x.size(0)), x.size(1)));
    if (!causal) ctx.layout = &prefix;
    const Value y = module(x, ctx);
    computation.outputs.push_back({"y", y, golden.array("y")});
    computation.loss.push_back({y, golden.array("dy")});
    return computation;
  });
}

void check_mixer(const Golden& golden, const std::string& type, const Json& options, Ordering ordering,
                 bool causal = true) {
  const MixerSetup setup{.d_model = golden.shape("x")[2]};
  check_module(
      golden, ordering,
      [&](const Scope& scope) -> Module {
        const std::shared_ptr<SequenceMixer> mixer = find_mixer(type, "golden").build(options, type, scope, setup);
        return [mixer](const Value& x, const Context& ctx) { return mixer->forward(x, ctx, nullptr).y; };
      },
      causal);
}

void check_state_mixer(const Golden& golden, const StateMixerOptions& options) {
  check_module(golden, Ordering::kFixed, [&](const Scope& scope) -> Module {
    const std::shared_ptr<StateMixer> mixer = make_state_mixer(options, scope, golden.shape("x")[2]);
    return [mixer](const Value& x, const Context&) { return mixer->forward(x); };
  });
}

// Published defaults where the settings leave something out.
Json heads_of(const Golden& golden, int64_t num_heads, double eps) {
  return Json{{"num_heads", golden.setting_or<int64_t>("num_heads", num_heads)},
              {"feature_dim", golden.setting_or<int64_t>("feature_dim", 16)},
              {"eps", golden.setting_or<double>("eps", eps)}};
}

Json with_switches(const Golden& golden, Json options) {
  for (const char* name : {"use_gamma", "use_beta", "normalize"}) options[name] = golden.setting_or<bool>(name, true);
  return options;
}

// The map of ours for zoology's `feature_name`, a short name or the path of a class; null where there is none.
Json zoology_map(const Golden& golden) {
  const auto path = golden.setting_or<std::string>("feature_name", "taylor_exp");
  const std::string name = path.substr(path.rfind('.') + 1);
  const Json given = golden.setting_or<Json>("feature_kwargs", Json::object());
  const double temperature = given.value("temp", 1.0);
  if (name == "taylor_exp" || name == "TaylorExp") return {{"name", "taylor"}};
  if (name == "pos_elu" || name == "PosELU") return {{"name", "elu"}, {"temperature", temperature}};
  if (name == "ReLU") return {{"name", "relu"}, {"temperature", temperature}, {"floor", given.value("eps", 1e-12)}};
  if (name == "none" || name == "identity" || name == "Identity") return {{"name", "identity"}};
  if (name == "Square") return {{"name", "square"}};
  if (name == "SquaredMap") return {{"name", "scaled_square"}};
  if (name == "all_poly" || name == "AllPolyMap") {
    return {{"name", "all_poly"}, {"size", given.value("output_dim", int64_t{0})}};
  }
  if (name == "performer" || name == "PerformerFeatureMap") {
    return {{"name", "performer"}, {"size", given.value("expanded_dim", int64_t{256})}};
  }
  return nullptr;
}

}  // namespace

void check_rebased_module(const Golden& golden) {
  check_mixer(golden, "rebased", with_switches(golden, heads_of(golden, 12, 1e-12)), Ordering::kForms);
}

// eps counts in mode "parallel" alone: the other modes add a constant of their own.
void check_fla_rebased_module(const Golden& golden) {
  Json options = with_switches(golden, heads_of(golden, 16, 1e-5));
  options["norm"] = "per_head";
  if (golden.setting_or<std::string>("mode", "parallel") != "parallel") options["eps"] = 1e-10;
  check_mixer(golden, "rebased", options, Ordering::kForms);
}

void check_based_module(const Golden& golden) {
  Json options = heads_of(golden, 12, 1e-12);
  options["qk_norm"] = golden.setting_or<bool>("qk_norm", false);
  check_mixer(golden, "based", options, Ordering::kForms);
}

void check_zoology_based_module(const Golden& golden) {
  const bool causal = golden.setting_or<bool>("causal", true), rotary = golden.setting_or<bool>("apply_rotary", false);
  Json map = zoology_map(golden);
  if (map.is_null() || (rotary && map["name"] != "taylor"))
    GTEST_SKIP() << "no feature map here is '" << golden.settings()["feature_name"] << "', rotary " << rotary;
  Json options = heads_of(golden, 12, 1e-12);
  if (map["name"] == "taylor" && causal) {
    Json based = options;
    if (rotary) based["rope_base"] = golden.setting_or<double>("rope_theta", 10000);
    check_mixer(golden, "based", based, Ordering::kForms);
  }
  if (rotary) return;
  options["feature_map"] = map;
  check_mixer(golden, "linear_attention", options, Ordering::kForms, causal);
  if (map["name"] != "taylor") return;
  options["feature_map"] = {{"name", "taylor_packed"}};
  check_mixer(golden, "linear_attention", options, Ordering::kForms, causal);
}

void check_fla_linear_attention_module(const Golden& golden) {
  const auto heads = golden.setting_or<int64_t>("num_heads", 8), C = golden.shape("x")[2];
  const auto map = golden.setting_or<std::string>("feature_map", "elementwise_product");
  auto width = [&](const char* expand) {
    return static_cast<int64_t>(static_cast<double>(C) * golden.setting_or<double>(expand, 1)) / heads;
  };
  Json feature_map{{"name", map == "elementwise_product" ? "hadamard" : map}};
  if (map == "hedgehog") feature_map["bias"] = true;
  if (map == "hedgehog" || map == "elementwise_product") {
    feature_map["tie"] = golden.setting_or<bool>("tie_feature_map_qk", false);
  }
  const Json options{{"num_heads", heads},
                     {"feature_dim", width("expand_k")},
                     {"head_dim", width("expand_v")},
                     {"feature_map", feature_map},
                     {"eps", 1e-10},
                     {"normalize", golden.setting_or<bool>("do_feature_map_norm", false)},
                     {"use_scale", true},
                     {"scale_by_map", true},
                     {"output_norm", golden.setting_or<std::string>("output_norm", "rmsnorm") == "rmsnorm"},
                     {"output_norm_eps", golden.setting_or<double>("norm_eps", 1e-5)}};
  check_mixer(golden, "linear_attention", options, Ordering::kForms);
}

void check_base_conv_module(const Golden& golden) {
  const Json given = golden.setting_or<Json>("kernel_size", 3);
  const auto kernel = (given.is_array() ? given.at(golden.setting<size_t>("layer_idx")) : given).get<int64_t>();
  Json options{{"use_act", golden.setting_or<bool>("use_act", false)}};
  if (kernel > 0) {
    options["kernel"] = kernel;
  } else {
    options["filter"] = golden.setting_or<bool>("implicit_long_conv", true) ? "implicit" : "long";
    options["max_tokens"] = golden.settings().at("l_max");
  }
  check_mixer(golden, "base_conv", options, Ordering::kFixed);
}

void check_gated_conv_module(const Golden& golden) {
  const Json options{{"form", "gated"},
                     {"kernel", golden.setting_or<int64_t>("kernel_size", 3)},
                     {"expand", golden.setting_or<int64_t>("expand_proj", 2)}};
  check_mixer(golden, "base_conv", options, Ordering::kFixed);
}

void check_attention_module(const Golden& golden) {
  for (bool additive : {true, false}) {
    const Json options{{"num_heads", golden.setting_or<int64_t>("num_heads", 1)},
                       {"qkv_bias", golden.setting_or<bool>("bias", true)},
                       {"additive_mask", additive}};
    check_mixer(golden, "attention", options, Ordering::kFixed);
  }
}

// zoology's block_size counts the keys before the query's own.
void check_sliding_module(const Golden& golden) {
  for (bool additive : {true, false}) {
    const Json options{{"window", golden.setting_or<int64_t>("block_size", 256) + 1},
                       {"qkv_bias", golden.setting_or<bool>("bias", true)},
                       {"additive_mask", additive}};
    check_mixer(golden, "sliding_window", options, Ordering::kFixed);
  }
}

void check_fla_attention_module(const Golden& golden) {
  Json options{{"num_heads", golden.setting<int64_t>("num_heads")},
               {"num_kv_heads", golden.setting_or<int64_t>("num_kv_heads", 0)},
               {"qkv_bias", golden.setting_or<bool>("qkv_bias", false)},
               {"out_bias", false},
               {"rope_fraction", golden.setting_or<double>("rotary_fraction", 1)},
               {"rope_base", golden.setting_or<double>("rope_theta", 10000)},
               {"qk_norm", golden.setting_or<bool>("qk_norm", false)}};
  const auto window = golden.setting_or<int64_t>("window_size", 0);
  if (window > 0) options["window"] = window;
  check_mixer(golden, window > 0 ? "sliding_window" : "attention", options, Ordering::kFixed);
}

void check_mlp_module(const Golden& golden) {
  check_state_mixer(golden, {.type = "mlp", .ratio = golden.setting_or<double>("hidden_mult", 1)});
}

void check_glu_module(const Golden& golden) {
  check_state_mixer(golden, {.type = "glu", .ratio = golden.setting_or<double>("hidden_mult", 1)});
}

void check_swiglu_module(const Golden& golden) {
  check_state_mixer(golden, {.type = "swiglu",
                             .hidden = golden.setting_or<int64_t>("hidden_features", 0),
                             .multiple_of = golden.setting_or<int64_t>("multiple_of", 256)});
}

}  // namespace rebased::testing
