#include "golden/handlers.h"
#include "golden/public_names.h"
#include "nn/mixers/registry.h"

namespace rebased::testing {
namespace {

// Rows of every head with the even ones first: torchscale turns channels 2i and 2i + 1 together, we i and i + Dk / 2.
HostArray even_rows_first(const HostArray& weight, int64_t heads) {
  HostArray result = weight;
  const int64_t D = weight.shape[0] / heads, C = weight.shape[1];
  for (int64_t row = 0; row < heads * D; ++row) {
    const int64_t i = row % D, from = row - i + (i < D / 2 ? 2 * i : 2 * (i - D / 2) + 1);
    std::copy_n(weight.data.begin() + from * C, C, result.data.begin() + row * C);
  }
  return result;
}

HostArray ordered(const Golden& golden, const std::string& prefix, const std::string& name, int64_t heads) {
  const HostArray array = golden.array(prefix + name);
  return name == "q_proj.weight" || name == "k_proj.weight" ? even_rows_first(array, heads) : array;
}

void check_retnet(const Golden& golden, double formula) {
  const auto heads = golden.setting<int64_t>("num_heads"), C = golden.setting<int64_t>("embed_dim");
  const Json options{{"num_heads", heads},
                     {"value_dim", golden.setting<int64_t>("value_dim") / heads},
                     {"norm_eps", golden.setting<double>("layernorm_eps")}};
  const HostArray x_in = golden.array("x");
  check_golden(
      golden, Ordering::kForms,
      [&](Engine& engine, Form form, int64_t chunk) {
        ParameterStore store;
        const auto mixer =
            find_mixer("retnet", "golden").build(options, "retnet", Scope(store, "", 0.02, 0.02), {.d_model = C});
        Computation computation;
        const Value x = leaf(engine, x_in);
        computation.gradients.push_back({"dx", x, golden.array("dx")});
        for (const std::string& name : golden.names("param.")) {
          Value& value = store.at(our_name(name)).value;
          value = leaf(engine, ordered(golden, "param.", name, heads));
          computation.gradients.push_back({"grad." + name, value, ordered(golden, "grad.", name, heads)});
        }
        Context ctx;
        ctx.form = form;
        ctx.chunk = chunk;
        const Value y = mixer->forward(x, ctx, nullptr).y;
        computation.outputs.push_back({"y", y, golden.array("y")});
        computation.loss.push_back({y, golden.array("dy")});
        return computation;
      },
      formula);
}

}  // namespace

void check_retnet_module(const Golden& golden) { check_retnet(golden, 0); }

// torchscale divides its scores by factors that its norm cancels but for the eps: in it, its own forms differ too.
void check_torchscale_retnet_module(const Golden& golden) { check_retnet(golden, 1e-3); }

}  // namespace rebased::testing
