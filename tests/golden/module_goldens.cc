#include <gtest/gtest.h>

#include "golden/handlers.h"
#include "golden/public_names.h"
#include "nn/mixers/registry.h"

namespace rebased::testing {
namespace {

// A mixer of ours with the golden's parameters: x, dy -> y and the gradients of x and of every parameter.
void check_mixer(const Golden& golden, const std::string& type, const Json& options, Ordering ordering,
                 bool causal = true) {
  const HostArray x_in = golden.array("x");
  check_golden(golden, ordering, [&](Engine& engine, Form form, int64_t chunk) {
    ParameterStore store;
    const auto mixer =
        find_mixer(type, "golden").build(options, type, Scope(store, "", 0.02, 0.02), {.d_model = x_in.shape[-1]});
    Computation computation;
    const Value x = leaf(engine, x_in);
    computation.gradients.push_back({"dx", x, golden.array("dx")});
    for (const auto& [name, param] : load_public(golden, "param.", store, engine)) {
      if (!param->spec.trainable) continue;
      computation.gradients.push_back(
          {"grad." + name, param->value, golden.array("grad." + name).as(param->spec.shape)});
    }
    Context ctx;
    ctx.form = form;
    ctx.chunk = chunk;
    if (!causal) ctx.prefix_len.assign(static_cast<size_t>(x.size(0)), x.size(1));
    const Value y = mixer->forward(x, ctx, nullptr).y;
    computation.outputs.push_back({"y", y, golden.array("y")});
    computation.loss.push_back({y, golden.array("dy")});
    return computation;
  });
}

Json heads_of(const Golden& golden) {
  return Json{{"num_heads", golden.settings().at("num_heads")},
              {"feature_dim", golden.settings().at("feature_dim")},
              {"eps", golden.settings().at("eps")}};
}

}  // namespace

void check_rebased_module(const Golden& golden) {
  Json options = heads_of(golden);
  for (const char* name : {"use_gamma", "use_beta", "normalize"}) options[name] = golden.settings().at(name);
  check_mixer(golden, "rebased", options, Ordering::kForms);
}

void check_fla_rebased_module(const Golden& golden) {
  Json options = heads_of(golden);
  for (const char* name : {"use_gamma", "use_beta", "normalize"}) options[name] = golden.settings().at(name);
  options["norm"] = "per_head";
  check_mixer(golden, "rebased", options, Ordering::kForms);
}

void check_based_module(const Golden& golden) {
  Json options = heads_of(golden);
  options["qk_norm"] = golden.settings().at("qk_norm");
  check_mixer(golden, "based", options, Ordering::kForms);
}

void check_zoology_based_module(const Golden& golden) {
  const auto causal = golden.setting<bool>("causal");
  const auto map = golden.setting<std::string>("feature_name");
  auto mapped = [&](const Json& feature_map, Ordering ordering) {
    Json options = heads_of(golden);
    options["feature_map"] = feature_map;
    check_mixer(golden, "linear_attention", options, ordering, causal);
  };
  if (map == "taylor_exp") {
    if (causal) check_mixer(golden, "based", heads_of(golden), Ordering::kForms);
    mapped({{"name", "taylor"}}, Ordering::kForms);
    mapped({{"name", "taylor_packed"}}, Ordering::kForms);
  } else if (map == "pos_elu") {
    mapped({{"name", "elu"}}, Ordering::kForms);
  } else if (map == "all_poly") {
    mapped({{"name", "all_poly"}}, Ordering::kForms);
  } else {
    FAIL() << "unknown feature map " << map;
  }
}

void check_base_conv_module(const Golden& golden) {
  const auto kernel = golden.setting<int64_t>("kernel_size");
  Json options{{"use_act", golden.settings().at("use_act")}};
  if (kernel > 0) {
    options["kernel"] = kernel;
  } else {
    options["filter"] = golden.setting<bool>("implicit_long_conv") ? "implicit" : "long";
    options["max_tokens"] = golden.settings().at("l_max");
  }
  check_mixer(golden, "base_conv", options, Ordering::kFixed);
}

void check_attention_module(const Golden& golden) {
  for (bool additive : {true, false}) {
    const Json options{{"num_heads", golden.settings().at("num_heads")},
                       {"qkv_bias", golden.settings().contains("bias") ? golden.settings()["bias"] : Json(true)},
                       {"additive_mask", additive}};
    check_mixer(golden, "attention", options, Ordering::kFixed);
  }
}

}  // namespace rebased::testing
