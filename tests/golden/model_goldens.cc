#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>

#include "cores/linear_attention/linear_attention.h"
#include "golden/handlers.h"
#include "golden/public_names.h"
#include "nn/sequence_model.h"
#include "updates/adamw/kernel.h"

namespace rebased::testing {
namespace {

// The mixers that the public get_mixers gives the layers of a kind: MHA alone in every layer, "conv_X" and the hybrids
// with BaseConv in layer 0, "double_X" with X in both. Empty for a kind that is not computed here.
Json mixers_of(const Golden& golden) {
  const auto kind = golden.setting<std::string>("kind");
  const bool twice = kind.starts_with("double_"), behind_conv = kind.starts_with("conv_");
  const std::string type = kind.substr(twice ? 7 : behind_conv ? 5 : 0);
  Json mixer{{"type", type}, {"num_heads", golden.setting_or<int64_t>("num_heads", 12)}};
  if (type == "rebased") {
    for (const char* name : {"use_gamma", "use_beta", "normalize"}) mixer[name] = golden.setting_or<bool>(name, true);
  }
  if (type == "rebased" || type == "based") mixer["feature_dim"] = golden.setting_or<int64_t>("feature_dim", 16);
  if (type != "rebased" && type != "based" && type != "attention") return Json::array();
  if (twice || kind == "attention") return Json::array({mixer});
  return Json::array({Json{{"type", "base_conv"}}, mixer});
}

// "Identity", "MLP" or "GLU", or the path of that class; its width is that of its first matrix.
Json state_mixer_of(const Golden& golden, const std::string& prefix) {
  const auto path = golden.setting_or<std::string>("state_mixer", "Identity");
  std::string type = path.substr(path.rfind('.') + 1);
  std::transform(type.begin(), type.end(), type.begin(), [](unsigned char c) { return std::tolower(c); });
  if (type == "identity") return {{"type", type}};
  return {{"type", type}, {"hidden", golden.shape(prefix + "backbone.layers.0.state_mixer.fc1.weight")[0]}};
}

// layer_norm_epsilon is that of the last norm alone: the blocks' norms keep PyTorch's 1e-5.
ModelConfig config_of(const Golden& golden, const std::string& prefix) {
  const Shape words = golden.shape(prefix + "backbone.embeddings.word_embeddings.weight");  // padded
  const Json config{{"vocab_size", words[0]},
                    {"d_model", words[1]},
                    {"n_layers", golden.setting<int64_t>("n_layers")},
                    {"max_tokens", golden.setting<int64_t>("max_position_embeddings")},
                    {"mixers", mixers_of(golden)},
                    {"state_mixers", Json::array({state_mixer_of(golden, prefix)})},
                    {"norm_eps", 1e-5},
                    {"final_norm_eps", golden.setting_or<double>("layer_norm_epsilon", 1e-5)},
                    {"affine_norm", golden.setting_or<bool>("affine_norm", true)},
                    {"pre_norm", golden.setting_or<bool>("pre_norm", true)},
                    {"embed_dropout", 0},
                    {"resid_dropout", 0}};
  return model_config_from_json(config, golden.path());
}

class HiddenStates : public Observer {
 public:
  void observe(std::string_view name, const Value& value) override {
    if (name.ends_with(".hidden")) values.emplace_back(name, value);
  }
  std::vector<std::pair<std::string, Value>> values;
};

// "layers.0.hidden" here is "layer0.hidden" in the golden.
std::string public_hidden_name(const std::string& name) { return "layer" + name.substr(std::string("layers.").size()); }

}  // namespace

void check_language_model(const Golden& golden) {
  const Shape shape = golden.array("tokens").shape;
  const std::vector<int64_t> tokens = golden.ids("tokens"), labels = golden.ids("labels");
  if (mixers_of(golden).empty()) GTEST_SKIP() << "no mixer here is of the kind " << golden.setting<std::string>("kind");
  check_golden(golden, Ordering::kFixed, [&](Engine& engine, Form, int64_t) {
    SequenceModel model(config_of(golden, "param."));
    Computation computation;
    for (const auto& [name, param] : load_public(golden, "param.", model.parameters(), engine)) {
      if (!golden.has("grad." + name) && golden.unused(name)) continue;
      computation.gradients.push_back(
          {"grad." + name, param->value, golden.array("grad." + name).as(param->spec.shape)});
    }
    HiddenStates hidden;
    Context ctx;
    ctx.form = Form::kParallel;  // the order of sums that the file's bounds are for
    Context observed = ctx;
    observed.observer = &hidden;
    const Value ids = write_ids(engine, shape, tokens);
    const Value loss = model.loss(ids, labels, observed).loss;
    for (const auto& [name, value] : hidden.values) {
      computation.outputs.push_back({public_hidden_name(name), value, golden.array(public_hidden_name(name))});
    }
    computation.outputs.push_back({"loss", loss, golden.array("loss").as(Shape{})});
    computation.outputs.push_back({"logits", model.logits(model.hidden(ids, ctx, nullptr)), golden.array("logits")});
    computation.loss.push_back({loss, HostArray::filled(Shape{}, 1)});
    return computation;
  });
}

namespace {

// AdamW on host copies of the parameters: the float32 kernel or its double reference.
template <class Real>
class Trainer {
 public:
  Trainer(const Golden& golden, Engine& engine) : golden_(golden), engine_(engine), model_(config_of(golden, "init.")) {
    params_ = load_public(golden, "init.", model_.parameters(), engine);
    for (auto& [name, param] : params_) {
      m_[name] = v_[name] = std::vector<Real>(static_cast<size_t>(param->spec.shape.numel()));
    }
  }

  // Loss before the update and the 2-norm of its gradient.
  std::pair<double, double> step(const Shape& shape, const std::vector<int64_t>& tokens,
                                 const std::vector<int64_t>& labels) {
    ++step_;
    Context ctx;
    ctx.form = Form::kParallel;
    const Value loss = model_.loss(write_ids(engine_, shape, tokens), labels, ctx).loss;
    std::vector<Value> leaves;
    for (auto& [name, param] : params_) leaves.push_back(param->value);
    const Weighted weighted[] = {{loss, HostArray::filled(Shape{}, 1)}};
    const auto grads = gradients(weighted, leaves);
    double squares = 0;
    size_t i = 0;
    for (auto& [name, param] : params_) {
      for (double g : grads[i]->data) squares += g * g;
      update(name, *param, *grads[i++]);
    }
    return {read(loss).data[0], std::sqrt(squares)};
  }

  const std::map<std::string, Param*>& params() const { return params_; }

 private:
  void update(const std::string& name, Param& param, const HostArray& gradient) {
    const std::vector<double> before = read(param.value).data;
    std::vector<Real> weights(before.begin(), before.end()), grad(gradient.data.begin(), gradient.data.end());
    kernels::AdamWArgs<Real> args{.n = static_cast<int64_t>(weights.size()),
                                  .param = weights.data(),
                                  .grad = grad.data(),
                                  .m = m_[name].data(),
                                  .v = v_[name].data(),
                                  .step = step_,
                                  .lr = golden_.setting<double>("lr"),
                                  .beta1 = golden_.settings()["betas"][0].get<double>(),
                                  .beta2 = golden_.settings()["betas"][1].get<double>(),
                                  .eps = golden_.setting<double>("adam_eps"),
                                  .weight_decay = golden_.setting<double>("weight_decay")};
    if constexpr (std::is_same_v<Real, float>) {
      kernels::cpu::adamw(args);
    } else {
      kernels::reference::adamw(args);
    }
    param.value = leaf(engine_, {param.spec.shape, {weights.begin(), weights.end()}});
  }

  const Golden& golden_;
  Engine& engine_;
  SequenceModel model_;
  std::map<std::string, Param*> params_;
  std::map<std::string, std::vector<Real>> m_, v_;
  int64_t step_ = 0;
};

// The gradient of the keys' bias is exactly zero (a shift of every key's score cancels in the softmax): Adam divides
// its rounding noise by itself there, and float32 runs part ways.
HostArray without_key_bias(const std::string& name, const HostArray& x) {
  if (!name.ends_with("Wqkv.bias")) return x;
  HostArray result = x;
  const size_t third = x.data.size() / 3;
  std::fill_n(result.data.begin() + static_cast<int64_t>(third), third, 0.0);
  return result;
}

template <class Real>
void check_run(const Golden& golden, Engine& engine) {
  constexpr bool kSingle = std::is_same_v<Real, float>;
  const HostArray tokens = golden.array("tokens"), losses = golden.array("losses"), norms = golden.array("grad_norms");
  const Shape batch({tokens.shape[1], tokens.shape[2]});
  const std::vector<int64_t> ids = golden.ids("tokens"), labels = golden.ids("labels");
  Trainer<Real> trainer(golden, engine);
  HostArray found_losses = HostArray::zeros(losses.shape), found_norms = HostArray::zeros(norms.shape);
  for (int64_t step = 0; step < losses.shape[0]; ++step) {
    const int64_t n = batch.numel();
    const std::vector<int64_t> step_ids(ids.begin() + step * n, ids.begin() + (step + 1) * n);
    const std::vector<int64_t> step_labels(labels.begin() + step * n, labels.begin() + (step + 1) * n);
    const auto [loss, norm] = trainer.step(batch, step_ids, step_labels);
    found_losses.data[static_cast<size_t>(step)] = loss;
    found_norms.data[static_cast<size_t>(step)] = norm;
  }
  EXPECT_EQ(difference("losses", found_losses, losses, kSingle ? golden.atol("losses", false) : rounding_bound(losses)),
            "");
  EXPECT_EQ(
      difference("grad_norms", found_norms, norms, kSingle ? golden.atol("grad_norms", false) : rounding_bound(norms)),
      "");
  for (const auto& [name, param] : trainer.params()) {
    const HostArray expected = golden.array("final." + name).as(param->spec.shape);
    const double bound = kSingle ? golden.atol("final." + name, false) : 1e-6;
    EXPECT_EQ(difference(name, without_key_bias(name, read(param->value)), without_key_bias(name, expected), bound),
              "");
  }
}

}  // namespace

void check_training_run(const Golden& golden) {
  if (mixers_of(golden).empty()) GTEST_SKIP() << "no mixer here is of the kind " << golden.setting<std::string>("kind");
  for (const auto& engine : float64_engines()) {
    SCOPED_TRACE(engine->name() + " float64");
    check_run<double>(golden, *engine);
  }
  for (const auto& engine : float32_with_gradients()) {
    SCOPED_TRACE(engine->name() + " float32");
    check_run<float>(golden, *engine);
  }
}

}  // namespace rebased::testing
