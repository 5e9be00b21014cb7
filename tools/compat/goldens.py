#!/usr/bin/python3
"""Goldens at sizes that the shared ones do not have, from the formulas in formulas.py in float64.

Without arguments every file that lies in tests/golden/data is computed again and compared; --write writes them.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
import torch

import formulas as f
import safetensors_file

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/data"
VERIFIED = "formulas of tools/compat/formulas.py, which agree in float64 with the public code where that runs on a CPU"
ZOOLOGY, CORL = "HazyResearch/zoology", "corl-team/rebased"
BASED, FLA = "HazyResearch/based", "fla-org/flash-linear-attention"
TORCHSCALE = "microsoft/torchscale"
COMMITS = {ZOOLOGY: "d88d6f5474f36998d82d5c3bd58a190248d0a669", CORL: "2dc269e2222f1cec7f62c1ccb81d2aafe7ac6ad1",
           BASED: "32c1bd4e09c8f7f718b0ed3f2e0a333908297879", FLA: "bc3b101dcb713ddc5bd8924b66754eb68b5ccf89",
           TORCHSCALE: "4d1e0e82e5adf86dd424f1463192635b73fc8efc"}


def numbers(seed):
    rng = np.random.RandomState(seed)
    return lambda *shape: torch.tensor(rng.standard_normal(shape).astype(np.float32)).double()


def random_parameters(normal, shapes):
    """Projections that keep variances, gains about 1, shifts and biases about 0."""
    parameters = {}
    for name, shape in shapes.items():
        std = 1 / math.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.2
        gain = len(shape) == 1 and (name.endswith(".gamma") or "norm" in name or "ln_" in name) and not name.endswith((".bias", ".beta"))
        parameters[name] = ((1.0 if gain else 0.0) + std * normal(*shape)).float().double()
    return parameters


def bounds(exact, approximations):
    """20 times what float32 costs the formulas, and at least 1e-5 of the largest element."""
    result = {}
    for name, value in exact.items():
        error = max((float((other[name].double() - value).abs().max()) for other in approximations), default=0)
        result[name] = max(20 * error, 1e-5 * float(value.abs().max()), 1e-9)
    return result


def stored(array):
    return array.detach().float().numpy() if array.is_floating_point() else array.numpy()


def golden(path, repository, function, layout, settings, given, exact, approximations, other_forms=(), unused=()):
    arrays = {name: stored(value) for name, value in {**given, **exact}.items()}
    metadata = {"repository": repository, "commit": COMMITS[repository], "function": function, "layout": layout,
                "settings": json.dumps(settings, sort_keys=True),
                "compute_dtype": "float64, stored rounded to float32; inputs are exact float32", "verified": VERIFIED,
                "atol": json.dumps(bounds(exact, approximations))}
    if other_forms:
        metadata["atol_other_forms"] = json.dumps(bounds(exact, list(approximations) + list(other_forms)))
    if unused:
        metadata["unused_parameters"] = ", ".join("grad." + name for name in unused)
    return path, arrays, metadata


def unused_shifts(parameters, n):
    """The scaler without a shift has a parameter for it all the same."""
    return [name for name in parameters if name.endswith(".beta") and not n["use_beta"]]


# --- modules ---


def run_module(formula, parameters, buffers, x, dy, settings, dtype, form):
    leaves = {name: value.to(dtype).requires_grad_() for name, value in parameters.items()}
    x = x.to(dtype).requires_grad_()
    y = formula({**leaves, **{name: value.to(dtype) for name, value in buffers.items()}}, x, settings, form)
    names = list(leaves)
    slopes = torch.autograd.grad((y * dy.to(dtype)).sum(), [x] + [leaves[name] for name in names])
    return {"y": y.detach(), "dx": slopes[0], **{"grad." + name: slope for name, slope in zip(names, slopes[1:])}}


def module(name, repository, function, formula, settings, shapes, B=2, T=9, buffers=None, forms=False, fixed=None):
    """fixed: parameters that are not trained; they lie among the others in the public state_dict."""
    C = settings.get("hidden_size") or settings.get("in_features") or settings.get("embed_dim") or settings["d_model"]
    normal = numbers(sum(map(ord, name)))
    parameters = random_parameters(normal, shapes)
    buffers, fixed = buffers or {}, fixed or {}
    x, dy = normal(B, T, C), normal(B, T, C)
    run = lambda dtype, form: run_module(formula, parameters, {**buffers, **fixed}, x, dy, settings, dtype, form)
    given = {"x": x, "dy": dy, **{"param." + k: v for k, v in {**parameters, **fixed}.items()},
             **{"buffer." + k: v for k, v in buffers.items()}}
    return golden(f"modules/{name}", repository, function, "x,y,dy,dx [B,T,d_model]; param.<name>, grad.<name>",
                  {"B": B, "T": T, **settings}, given, run(torch.float64, "parallel"), [run(torch.float32, "parallel")],
                  [run(torch.float32, "running")] if forms else ())


def projections(C, count, feature_dim, names=("proj_q", "proj_k", "proj_v", "proj_o")):
    q, k, v, o = (name + ".weight" for name in names)
    width = count * (C // count)
    return {q: (count * feature_dim, C), k: (count * feature_dim, C), v: (width, C), o: (C, width)}


def conv_modules():
    function = "zoology/mixers/base_conv.py: BaseConv"
    for C, T, L, use_act in ((12, 9, 20, False), (20, 7, 7, True)):  # 16 hidden features, whatever C is
        settings = {"d_model": C, "l_max": L, "kernel_size": -1, "implicit_long_conv": True, "use_act": use_act}
        shapes = {"projection.weight": (C, C), "projection.bias": (C,), "conv.mlp.0.weight": (16, 3), "conv.mlp.0.bias": (16,),
                  "conv.mlp.2.weight": (C, 16), "conv.mlp.2.bias": (C,)}
        fixed = {"conv.pos_emb.z": f.lag_features(L).float().double()[None]}
        yield module(f"base_conv_implicit_D{C}T{T}L{L}", ZOOLOGY, function, f.base_conv, settings, shapes, T=T, fixed=fixed)
    short = {"d_model": 10, "l_max": 11, "kernel_size": [3, 5], "layer_idx": 1, "implicit_long_conv": True, "use_act": True}
    shapes = {"projection.weight": (10, 10), "projection.bias": (10,)}
    yield module("base_conv_k5_act_D10T11", ZOOLOGY, function, lambda p, x, n, form: f.base_conv(p, x, {**n, "kernel_size": 5}),
                 short, {**shapes, "conv.conv.weight": (10, 1, 5), "conv.conv.bias": (10,)}, T=11)
    long = {"d_model": 10, "l_max": 11, "kernel_size": -1, "implicit_long_conv": False, "use_act": False}
    yield module("base_conv_long_D10T11", ZOOLOGY, function, f.base_conv, long, {**shapes, "conv.filter": (10, 11)}, T=11)
    for C, expand, kernel in ((10, 2, 3), (6, 4, 5)):
        inner = expand * C // 2
        yield module(f"gated_conv_D{C}e{expand}k{kernel}T9", BASED, "based/models/mixers/convolution.py: BaseConv", f.gated_conv,
                     {"d_model": C, "expand_proj": expand, "kernel_size": kernel},
                     {"in_proj.weight": (2 * inner, C), "in_proj.bias": (2 * inner,), "conv.conv.weight": (inner, 1, kernel),
                      "out_proj.weight": (C, inner), "out_proj.bias": (C,)})


def rebased_modules():
    C, H, d = 20, 3, 10  # 18 of 20 channels reach proj_o
    for gamma, beta, normalize in ((1, 1, 1), (1, 1, 0), (0, 0, 0)):
        settings = {"d_model": C, "num_heads": H, "num_key_value_heads": H, "feature_dim": d, "eps": 1e-6,
                    "use_gamma": bool(gamma), "use_beta": bool(beta), "normalize": bool(normalize)}
        names = ("weight", "bias") if normalize else ("gamma", "beta")
        affine = {f"{ln}.{name}": (H * d,) for ln in ("ln_q", "ln_k") for name in names} if gamma else {}
        yield module(f"corl_rebased_g{gamma}b{beta}n{normalize}_D{C}h{H}f{d}T9", CORL, "src/mixers/rebased.py: ReBased", f.rebased,
                     settings, {**projections(C, H, d), **affine}, forms=True)
    H, d = 5, 6
    for gamma, beta, normalize in ((1, 1, 1), (0, 1, 1), (1, 0, 0)):
        settings = {"hidden_size": C, "num_heads": H, "num_key_value_heads": H, "feature_dim": d, "eps": 1e-5,
                    "use_gamma": bool(gamma), "use_beta": bool(beta), "normalize": bool(normalize)}
        affine = {f"feature_map.{name}": (d,) for name, used in (("gamma", gamma), ("beta", beta)) if used}
        yield module(f"fla_rebased_g{gamma}b{beta}n{normalize}_D{C}h{H}f{d}T9", FLA,
                     "fla/layers/rebased.py: ReBasedLinearAttention, mode 'parallel'", f.fla_rebased, settings,
                     {**projections(C, H, d, ("q_proj", "k_proj", "v_proj", "o_proj")), **affine}, forms=True)


def based_modules():
    C, H, d = 20, 3, 10
    for qk_norm in (False, True):
        norms = {f"{ln}.{name}": (H * d,) for ln in ("ln_q", "ln_k") for name in ("weight", "bias")} if qk_norm else {}
        yield module(f"corl_based_D{C}h{H}f{d}T9" + "_qknorm" * qk_norm, CORL, "src/mixers/based.py: Based", f.based,
                     {"d_model": C, "num_heads": H, "num_key_value_heads": H, "feature_dim": d, "eps": 1e-12, "qk_norm": qk_norm},
                     {**projections(C, H, d), **norms}, forms=True)
    H, d = 2, 6
    base = {"d_model": C, "num_heads": H, "num_key_value_heads": H, "feature_dim": d, "eps": 1e-12, "causal": True,
            "train_view": "linear"}
    path = "zoology.mixers.feature_maps."
    orthogonal = [np.linalg.qr(numbers(i)(d, d).numpy())[0].T for i in range(4)]
    features = {"feature_map.random_feats": torch.tensor(np.vstack(orthogonal)[:20] / math.sqrt(20 / d)).float().double()}
    maps = [("taylor_rotary", {"feature_name": "taylor_exp", "apply_rotary": True, "rope_theta": 500}, {}, {}),
            ("elu_temperature", {"feature_name": "pos_elu", "feature_kwargs": {"temp": 0.5}}, {}, {}),
            ("relu", {"feature_name": path + "base.ReLU", "feature_kwargs": {"temp": 2.0}}, {}, {}),
            ("square", {"feature_name": path + "base.Square"}, {}, {}),
            ("scaled_square", {"feature_name": path + "all_poly.SquaredMap"}, {}, {}),
            ("all_poly5", {"feature_name": "all_poly", "feature_kwargs": {"output_dim": 5}, "eps": 50.0},
             {"feature_map.proj_1.weight": (5, d), "feature_map.proj_2.weight": (5, d)}, {}),
            ("performer20", {"feature_name": "performer", "feature_kwargs": {"expanded_dim": 20}}, {}, features),
            ("elu_noncausal", {"feature_name": "pos_elu", "causal": False}, {}, {})]
    for label, settings, shapes, buffers in maps:
        yield module(f"zoology_based_{label}_D{C}h{H}f{d}T9", ZOOLOGY, "zoology/mixers/based.py: Based", f.zoology_based,
                     {**base, **settings}, {**projections(C, H, d), **shapes}, buffers=buffers, forms=True)


def fla_linear_modules():
    C, H = 20, 2
    for label, settings in (("hadamard", {"feature_map": "elementwise_product", "expand_k": 0.6, "expand_v": 0.8}),
                            ("hedgehog", {"feature_map": "hedgehog", "expand_k": 0.6, "norm_eps": 1e-2}),
                            ("dpfp", {"feature_map": "dpfp", "expand_k": 0.4, "output_norm": "identity"}),
                            ("elu_normalised", {"feature_map": "elu", "do_feature_map_norm": True})):
        n = {"hidden_size": C, "num_heads": H, "expand_k": 1.0, "expand_v": 1.0, "output_norm": "rmsnorm", "norm_eps": 1e-5,
             "do_feature_map_norm": False, "tie_feature_map_qk": False, **settings}
        k, v = int(C * n["expand_k"]), int(C * n["expand_v"])
        d = k // H
        shapes = {"q_proj.weight": (k, C), "k_proj.weight": (k, C), "v_proj.weight": (v, C), "o_proj.weight": (C, v)}
        layers = {"elementwise_product": ("layer1", "layer2"), "hedgehog": ("layer",)}.get(n["feature_map"], ())
        for part in ("feature_map_q", "feature_map_k"):
            shapes.update({f"{part}.{layer}.weight": (d, d) for layer in layers})
            shapes.update({f"{part}.{layer}.bias": (d,) for layer in layers})
        if n["output_norm"] == "rmsnorm":
            shapes["norm.weight"] = (v // H,)
        yield module(f"fla_linear_attention_{label}_D{C}h{H}T9", FLA, "fla/layers/linear_attn.py: LinearAttention",
                     f.fla_linear_attention, n, shapes, forms=True)


def attention_modules():
    def matrices(C, rows, qkv_bias, out_bias):
        biases = {"Wqkv.bias": (rows,)} if qkv_bias else {}
        return {"Wqkv.weight": (rows, C), "out_proj.weight": (C, C), **biases, **({"out_proj.bias": (C,)} if out_bias else {})}

    yield module("mha_D15h3T11", ZOOLOGY, "zoology/mixers/attention.py: MHA", f.mha,
                 {"d_model": 15, "num_heads": 3, "bias": True}, matrices(15, 45, True, True), T=11)
    yield module("sliding_D10w3T11", ZOOLOGY, "zoology/mixers/slide_attn.py: SlidingAttn", f.sliding,
                 {"d_model": 10, "block_size": 3, "bias": True}, matrices(10, 30, True, True), T=11)
    function = "fla/layers/attn.py: Attention, its three projections in one matrix"
    norms = {"q_norm.weight": (6,), "k_norm.weight": (6,)}
    yield module("fla_attention_D24h4kv2_qknorm_T11", FLA, function, f.fla_attention,
                 {"hidden_size": 24, "num_heads": 4, "num_kv_heads": 2, "qkv_bias": True, "qk_norm": True, "rope_theta": 500.0,
                  "rotary_fraction": 1.0, "window_size": None}, {**matrices(24, 48, True, False), **norms}, T=11)
    yield module("fla_attention_D24h3w4_half_rotary_T11", FLA, function, f.fla_attention,
                 {"hidden_size": 24, "num_heads": 3, "num_kv_heads": 3, "qkv_bias": False, "qk_norm": False, "rope_theta": 10000.0,
                  "rotary_fraction": 0.5, "window_size": 4}, matrices(24, 72, False, False), T=11)


def feed_forward_modules():
    C = 10
    yield module("mlp_D10m3T9", ZOOLOGY, "zoology/mixers/mlp.py: MLP", f.mlp, {"d_model": C, "hidden_mult": 3},
                 {"fc1.weight": (30, C), "fc1.bias": (30,), "fc2.weight": (C, 30), "fc2.bias": (C,)})
    yield module("glu_D10m2T9", ZOOLOGY, "zoology/mixers/mlp.py: GLU", f.glu, {"d_model": C, "hidden_mult": 2},
                 {"fc1.weight": (20, C), "fc1.bias": (20,), "fc2.weight": (20, C), "fc2.bias": (20,), "fc3.weight": (C, 20),
                  "fc3.bias": (C,)})
    for name, C, hidden, given in (("gated_mlp_D6T9", 6, 256, {}),  # int(8 C / 3), rounded up to 256
                                   ("gated_mlp_D6h10T9", 6, 12, {"hidden_features": 10, "multiple_of": 4})):
        yield module(name, BASED, "based/models/mlp.py: GatedMlp", f.gated_mlp, {"in_features": C, **given},
                     {"fc1.weight": (2 * hidden, C), "fc2.weight": (C, hidden)})


def retention_modules():
    C, H, values = 20, 2, 12  # heads of 10 and of 6
    shapes = {which + "_proj.weight": (width, C) for which, width in (("q", C), ("k", C), ("v", values), ("g", values))}
    yield module("retnet_D20V12h2T9", TORCHSCALE, "torchscale/component/multiscale_retention.py: MultiScaleRetention without its score normalisers",
                 f.retnet, {"embed_dim": C, "num_heads": H, "value_dim": values, "layernorm_eps": 1e-3},
                 {**shapes, "out_proj.weight": (C, values)})


# --- operators ---


def decayed_op(name, function, scale, decay=None, bonus=False, state=False, query="q", B=2, H=3, T=21, d=6, dv=10):
    """decay: the name of its logarithms and their width, d or 1; none: retention's."""
    normal = numbers(sum(map(ord, name)))
    given = {query: normal(B, H, T, d), "k": normal(B, H, T, d), "v": normal(B, H, T, dv)}
    if decay is not None:
        given[decay[0]] = -normal(B, H, T, decay[1]).abs()
    if bonus:
        given["u"] = normal(H, d)
    if state:
        given["h0"] = normal(B, H, d, dv)
    do, dht = normal(B, H, T, dv), normal(B, H, d, dv)

    def run(dtype):
        x = {key: value.to(dtype).requires_grad_() for key, value in given.items()}
        g = x[decay[0]] if decay is not None else f.retention_logs(H).to(dtype).view(1, -1, 1, 1)
        factor = d**-0.5 if scale == "d^-0.5" else scale
        o, ht = f.decayed_attention(x[query], x["k"], x["v"], g, factor, x.get("u"), x.get("h0"))
        loss = (do.to(dtype) * o).sum() + ((dht.to(dtype) * ht).sum() if state else 0)
        slopes = torch.autograd.grad(loss, list(x.values()))
        result = {"o": o.detach(), **{"d" + key: slope for key, slope in zip(x, slopes)}}
        return {**result, "ht": ht.detach()} if state else result

    def flat(arrays):  # one number a token has no dimension of its own
        return {key: value.squeeze(-1) if decay is not None and decay[1] == 1 and key.endswith(decay[0]) else value for key, value in arrays.items()}

    stored_given = {**given, "do": do, **({"dht": dht} if state else {})}
    return golden(f"ops/{name}", FLA, function, "q,k [B,H,T,d], v,o,do [B,H,T,dv]; decays are logarithms; h0,ht [B,H,d,dv]",
                  {"B": B, "H": H, "T": T, "d": d, "dv": dv, "scale": scale}, flat(stored_given), flat(run(torch.float64)),
                  [flat(run(torch.float32))])


def decayed_ops():
    yield decayed_op("retention_B2H3T21d6v10", "fla/ops/retention/naive.py: naive_retention", "d^-0.5")
    yield decayed_op("gla_B2H3T21d6v10_h0", "fla/ops/gla/naive.py: naive_recurrent_gla", 0.5, ("gk", 6), state=True)
    yield decayed_op("simple_gla_B2H3T21d6v10_h0", "fla/ops/simple_gla/naive.py: naive_recurrent_simple_gla", "d^-0.5", ("g", 1), state=True)
    yield decayed_op("rwkv6_B2H3T21d6v10_h0", "fla/ops/rwkv6/recurrent_naive.py: naive_recurrent_rwkv6", 0.7, ("w", 6), bonus=True,
                     state=True, query="r")


# --- models ---

MODEL = "src/model.py: LanguageModel built through configs/utils.py: get_mixers"


def model_shapes(n):
    C, shapes = n["d_model"], {}
    shapes["backbone.embeddings.word_embeddings.weight"] = (n["vocab_size"], C)
    if n["max_position_embeddings"] > 0:
        shapes["backbone.embeddings.position_embeddings.weight"] = (n["max_position_embeddings"], C)
    for layer in range(n["n_layers"]):
        at = f"backbone.layers.{layer}."
        if n["affine_norm"]:
            shapes.update({f"{at}norm{i}.{name}": (C,) for i in (1, 2) for name in ("weight", "bias")})
        shapes.update({at + "sequence_mixer." + name: shape for name, shape in mixer_shapes(n, layer).items()})
        width = {"Identity": 0, "MLP": 3 * C, "GLU": 2 * C}[n["state_mixer"]]
        if width:
            shapes.update({at + "state_mixer.fc1.weight": (width, C), at + "state_mixer.fc1.bias": (width,)})
            second = (C, width) if n["state_mixer"] == "MLP" else (width, C)
            shapes.update({at + "state_mixer.fc2.weight": second, at + "state_mixer.fc2.bias": second[:1]})
        if n["state_mixer"] == "GLU":
            shapes.update({at + "state_mixer.fc3.weight": (C, width), at + "state_mixer.fc3.bias": (C,)})
    shapes.update({"backbone.ln_f.weight": (C,), "backbone.ln_f.bias": (C,)})
    return shapes


def mixer_shapes(n, layer):
    C, H, kind = n["d_model"], n["num_heads"], n["kind"]
    attention = {"Wqkv.weight": (3 * C, C), "Wqkv.bias": (3 * C,), "out_proj.weight": (C, C), "out_proj.bias": (C,)}
    if kind == "attention":
        return attention
    if layer == 0 and not kind.startswith("double_"):
        shapes = {"conv.conv.weight": (C, 1, 3), "conv.conv.bias": (C,), "projection.weight": (C, C), "projection.bias": (C,)}
    elif kind == "conv_attention":
        shapes = attention
    else:
        shapes = projections(C, H, n["feature_dim"])
        if kind.endswith("rebased"):
            names = ("weight", "bias") if n["normalize"] else ("gamma", "beta") if n["use_gamma"] else ()
            shapes.update({f"{ln}.{name}": (H * n["feature_dim"],) for ln in ("ln_q", "ln_k") for name in names})
    return {"mixer." + name: shape for name, shape in shapes.items()}


def model_settings(kind, heads, **changes):
    return {"kind": kind, "num_heads": heads, "d_model": 20, "n_layers": 2, "vocab_size": 30, "max_position_embeddings": 17,
            "feature_dim": 16, "layer_norm_epsilon": 1e-5, "pre_norm": True, "affine_norm": True, "state_mixer": "Identity",
            "use_gamma": True, "use_beta": True, "normalize": True, "embed_dropout": 0.0, "resid_dropout": 0.0, **changes}


def recall_tokens(seed, B, T, V):
    """Random ids; a few positions of every row ask for an id."""
    rng = np.random.RandomState(seed)
    tokens, labels = rng.randint(0, V, (B, T)), np.full((B, T), -100)
    for row in range(B):
        asked = rng.permutation(T)[: 2 + row]
        labels[row, asked] = rng.randint(0, V, len(asked))
    return torch.tensor(tokens), torch.tensor(labels)


def model_pass(parameters, tokens, labels, n, dtype):
    leaves = {name: value.to(dtype).requires_grad_() for name, value in parameters.items()}
    logits, hidden = f.language_model(leaves, tokens, n)
    loss = f.label_loss(logits, labels)
    slopes = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    used = {name: slope for name, slope in zip(leaves, slopes) if slope is not None}
    return loss.detach(), logits.detach(), [h.detach() for h in hidden], used


def language_model(name, n, B=2, T=12):
    parameters = random_parameters(numbers(sum(map(ord, name))), model_shapes(n))
    tokens, labels = recall_tokens(len(name), B, T, n["vocab_size"])

    def run(dtype):
        loss, logits, hidden, slopes = model_pass(parameters, tokens, labels, n, dtype)
        return {"loss": loss[None], "logits": logits, **{f"layer{i}.hidden": h for i, h in enumerate(hidden)},
                **{"grad." + k: v for k, v in slopes.items()}}

    given = {"tokens": tokens, "labels": labels, **{"param." + k: v for k, v in parameters.items()}}
    return golden(f"models/{name}", CORL, MODEL, "tokens,labels [B,T] int64 (-100 = ignored), logits [B,T,V], loss [1]",
                  {"B": B, "T": T, **n}, given, run(torch.float64), [run(torch.float32)], unused=unused_shifts(parameters, n))


def training_run(name, n, steps=6, B=3, T=10):
    n = {**n, "steps": steps, "lr": 0.01, "betas": [0.8, 0.95], "adam_eps": 1e-6, "weight_decay": 0.2}
    parameters = random_parameters(numbers(sum(map(ord, name))), model_shapes(n))
    parameters = {k: (0.3 * v if v.ndim > 1 else v).float().double() for k, v in parameters.items()}
    batches = [recall_tokens(step, B, T, n["vocab_size"]) for step in range(steps)]

    def run(dtype):
        p = {k: v.to(dtype) for k, v in parameters.items()}
        m, v = ({k: torch.zeros_like(x) for k, x in p.items()} for _ in range(2))
        losses, norms = [], []
        for step, (tokens, labels) in enumerate(batches, 1):
            loss, _, _, slopes = model_pass(p, tokens, labels, n, dtype)
            losses.append(loss)
            norms.append(torch.sqrt(sum((g * g).sum() for g in slopes.values())))
            for k, g in slopes.items():
                b1, b2 = n["betas"]
                m[k], v[k] = b1 * m[k] + (1 - b1) * g, b2 * v[k] + (1 - b2) * g * g
                step_size = (m[k] / (1 - b1**step)) / (torch.sqrt(v[k] / (1 - b2**step)) + n["adam_eps"])
                p[k] = p[k] * (1 - n["lr"] * n["weight_decay"]) - n["lr"] * step_size
        return {"losses": torch.stack(losses), "grad_norms": torch.stack(norms), **{"final." + k: x for k, x in p.items()}}

    tokens, labels = (torch.stack([batch[i] for batch in batches]).int() for i in (0, 1))
    given = {"tokens": tokens, "labels": labels, **{"init." + k: x for k, x in parameters.items()}}
    return golden(f"models/{name}", CORL, MODEL + "; src/train.py: torch.optim.AdamW",
                  "tokens,labels [steps,B,T] int32; losses, grad_norms [steps]; init.*, final.*", {"B": B, "T": T, **n}, given,
                  run(torch.float64), [run(torch.float32)], unused=unused_shifts(parameters, n))


def models():
    yield language_model("lm_double_rebased_D20T12V30_eps1e-2", model_settings("double_rebased", 3, layer_norm_epsilon=1e-2))
    yield language_model("lm_double_based_D20T12V30_postnorm", model_settings("double_based", 3, pre_norm=False))
    yield language_model("lm_rebased_D20T12V30_scaler_noaffine",
                         model_settings("rebased", 12, normalize=False, affine_norm=False, layer_norm_epsilon=1e-3))
    yield language_model("lm_double_rebased_D20T12V30_gamma",
                         model_settings("double_rebased", 2, normalize=False, use_beta=False))
    yield language_model("lm_double_rebased_D20T12V30_bare",
                         model_settings("double_rebased", 2, normalize=False, use_beta=False, use_gamma=False))
    yield language_model("lm_conv_attention_D20T12V30_mlp", model_settings("conv_attention", 5, state_mixer="MLP"))
    yield language_model("lm_attention_D20n3T12V30_glu_nopos",
                         model_settings("attention", 4, n_layers=3, state_mixer="GLU", max_position_embeddings=0))
    yield training_run("train_double_rebased_D20T10V30", model_settings("double_rebased", 3, layer_norm_epsilon=1e-3))
    yield training_run("train_rebased_D20T10V30_gamma", model_settings("rebased", 3, normalize=False, use_beta=False))
    yield training_run("train_double_based_D20T10V30", model_settings("double_based", 12))


# --- data ---


def rows_of_choices(choices, count, size, p=None):
    return np.stack([np.random.choice(choices, size, replace=False, p=p) for _ in range(count)])


def bindings(n, count):
    half = n["vocab_size"] // 2
    keys = rows_of_choices(np.arange(1, half), count, n["num_kv_pairs"])
    return keys, rows_of_choices(np.arange(half, n["vocab_size"]), count, n["num_kv_pairs"])


def recall_split(n, seed, power, count=5):
    np.random.seed(seed)
    K, T = n["num_kv_pairs"], n["input_seq_len"]
    keys, values = bindings(n, count)
    weights = np.arange(1, (T - 2 * K) // 2 + 1) ** (power - 1.0)
    slots = rows_of_choices(np.arange(len(weights)), count, K, weights / weights.sum())
    return write_rows(n, seed, keys, values, np.zeros(count, int), 2 * K + 2 * slots)


def haystack_split(n, seed, count=5):
    np.random.seed(seed)
    K, T = n["num_kv_pairs"], n["input_seq_len"]
    keys, values = bindings(n, count)
    places = np.stack([np.random.permutation(K) for _ in range(count)])
    begins = np.full(count, int((T - 3 * K) * n["document_depth"]))
    return write_rows(n, seed, keys, values, begins, T - K + places)


def write_rows(n, seed, keys, values, begins, queries):
    count, K, T = len(keys), n["num_kv_pairs"], n["input_seq_len"]
    inputs, labels = np.zeros((count, T), np.int64), np.full((count, T), -100, np.int64)
    for row in range(count):
        inputs[row, begins[row] : begins[row] + 2 * K] = np.stack([keys[row], values[row]], 1).ravel()
        inputs[row, queries[row]], labels[row, queries[row]] = keys[row], values[row]
    if n["random_non_queries"]:
        filler = np.random.RandomState(seed + 1).randint(0, n["vocab_size"], inputs.shape)
        inputs = np.where(inputs == 0, filler, inputs)
    return torch.tensor(inputs), torch.tensor(labels)


def data():
    for name, n in (("mqar_V60T24kv5_powers", {"vocab_size": 60, "input_seq_len": 24, "num_kv_pairs": 5, "train_power_a": 0.5,
                                               "test_power_a": 2.0, "random_non_queries": False, "seed": 123}),
                    ("mqar_V51T20kv3_rand", {"vocab_size": 51, "input_seq_len": 20, "num_kv_pairs": 3, "train_power_a": 1.0,
                                             "test_power_a": 1.0, "random_non_queries": True, "seed": 2})):
        train = recall_split(n, n["seed"], n["train_power_a"])
        test = recall_split(n, n["seed"] + 10, n["test_power_a"])
        yield recall_golden(name, "multiquery_ar", n, train, test)
    for depth in (0.0, 0.3, 1.0):
        n = {"vocab_size": 90, "input_seq_len": 30, "num_kv_pairs": 4, "document_depth": depth, "random_non_queries": False, "seed": 5}
        yield recall_golden(f"mqar_haystack_V90T30kv4_depth{depth}", "multiquery_ar_in_haystack", n, haystack_split(n, 5),
                            haystack_split(n, 15))


def recall_golden(name, function, n, train, test):
    given = {"train_inputs": train[0], "train_labels": train[1], "test_inputs": test[0], "test_labels": test[1]}
    return golden(f"mqar/{name}", CORL, "src/data/associative_recall.py: " + function,
                  "inputs, labels [5,T] int64, -100 = no label; test split uses seed+10", n, given, {}, [])


# --- command ---


def every_golden():
    for family in (conv_modules, rebased_modules, based_modules, fla_linear_modules, attention_modules, retention_modules,
                   feed_forward_modules, decayed_ops,
                   models, data):
        yield from family()


def difference(name, arrays, metadata):
    """What a stored file differs in, or None. Sums of another machine may round otherwise in the last place."""
    path = FOLDER / f"{name}.safetensors"
    if not path.exists():
        return "is missing: run with --write"
    found, found_metadata = safetensors_file.read(path)
    if found.keys() != arrays.keys():
        return f"holds other tensors: {sorted(found.keys() ^ arrays.keys())}"
    if found_metadata["settings"] != metadata["settings"]:
        return "has other settings"
    for key, array in arrays.items():
        worst = np.max(np.abs(found[key].astype(np.float64) - array), initial=0)
        if worst > 2e-7 * np.max(np.abs(array), initial=0):
            return f"differs in {key} by {worst:.3g}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the files instead of comparing with them")
    write = parser.parse_args().write
    torch.set_num_threads(1)
    failures = count = 0
    for name, arrays, metadata in every_golden():
        count += 1
        if write:
            safetensors_file.write(FOLDER / f"{name}.safetensors", arrays, metadata)
        elif problem := difference(name, arrays, metadata):
            failures += 1
            print(f"{name}: {problem}")
    print(f"{count} goldens {'written' if write else f'compared, {failures} differ'}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
