"""The published layers as formulas, written from their papers and sources, in whatever dtype the arguments have.

Every layer is a function (parameters, x, settings) -> y; parameters are a dictionary with the public names. `form` says in
which order the sums of a linear layer are taken: "parallel" (all pairs) or "running" (sums over the features).
"""

import math

import torch


def linear(p, name, x):
    y = x @ p[name + ".weight"].T
    return y + p[name + ".bias"] if name + ".bias" in p else y


def layer_norm(x, gain=None, bias=None, eps=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    y = centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + eps)
    if gain is not None:
        y = y * gain
    return y if bias is None else y + bias


def rms_norm(x, gain, eps):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * gain


def silu(x):
    return x / (1 + torch.exp(-x))


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def heads(x, count):  # [B, T, H D] -> [B, H, T, D]
    return x.reshape(x.shape[0], x.shape[1], count, -1).transpose(1, 2)


def joined(x):  # [B, H, T, D] -> [B, T, H D]
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)


def lower(T):
    return torch.ones(T, T).tril()


# --- linear attention ---


def similarity_average(a, v, eps):  # a [B, H, T, S] of visible pairs
    return a @ v / (a.sum(-1, keepdim=True) + eps)


def running_average(q, k, v, eps, normalize=True):  # of features [B, H, T, F]
    s = (k.unsqueeze(-1) * v.unsqueeze(-2)).cumsum(2)
    o = (q.unsqueeze(-2) @ s).squeeze(-2)
    return o / ((q * k.cumsum(2)).sum(-1, keepdim=True) + eps) if normalize else o


def packed_squares(x):  # products of pairs, each once: P(x) . P(y) = (x . y)^2
    i, j = torch.triu_indices(x.shape[-1], x.shape[-1])
    return x[..., i] * x[..., j] * torch.where(i == j, 1.0, math.sqrt(2)).to(x.dtype)


def taylor_features(x):
    d = x.shape[-1]
    return torch.cat([torch.ones_like(x[..., :1]), x / d**0.25, packed_squares(x) / math.sqrt(2 * d)], -1)


def quadratic(q, k, v, eps, taylor, form):
    d = q.shape[-1]
    if form == "running":
        features = taylor_features if taylor else lambda x: packed_squares(x) / math.sqrt(d)
        return running_average(features(q), features(k), v, eps)
    s = q @ k.transpose(-1, -2) / math.sqrt(d)
    a = 1 + s + s * s / 2 if taylor else s * s
    return similarity_average(a * lower(q.shape[2]).to(a.dtype), v, eps)


def linear_attention(q, k, v, eps, form, causal=True, normalize=True, scale=1.0):
    q = q * scale
    if form == "running" and causal:
        return running_average(q, k, v, eps, normalize)
    a = q @ k.transpose(-1, -2)
    if causal:
        a = a * lower(q.shape[2]).to(a.dtype)
    return similarity_average(a, v, eps) if normalize else a @ v


def rotate(x, base, fraction=1.0):  # [B, H, T, D], channel i with i + half
    r = int(x.shape[-1] * fraction)
    angle = torch.arange(x.shape[2], dtype=torch.float64)[:, None] * base ** (
        -torch.arange(0, r, 2, dtype=torch.float64) / r)
    c, s = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b, rest = x[..., : r // 2], x[..., r // 2 : r], x[..., r:]
    return torch.cat([a * c - b * s, b * c + a * s, rest], -1)


def decayed_attention(q, k, v, g, scale, bonus=None, h0=None):
    """Sums that decay by exp(g), g [B, H, T, F or 1]: (outputs, last state). With a bonus [H, F] a token is read before it is written."""
    T, total = q.shape[2], g.expand_as(q).cumsum(2)
    met = total - g if bonus is not None else total  # of a query: until its own token, or the one before
    visible = lower(T).tril(-1 if bonus is not None else 0).to(q.dtype)[..., None]
    apart = (met[:, :, :, None] - total[:, :, None]) * visible
    a = (q[:, :, :, None] * k[:, :, None] * apart.exp() * visible).sum(-1)
    o = a @ v
    if bonus is not None:
        o = o + (q * bonus[:, None] * k).sum(-1, keepdim=True) * v
    last = (k * (total[:, :, -1:] - total).exp()).transpose(-1, -2) @ v
    if h0 is not None:
        o, last = o + (q * met.exp()) @ h0, last + total[:, :, -1].exp()[..., None] * h0
    return scale * o, last


def retention_logs(count):
    return torch.log1p(-(2.0 ** (-5 - torch.arange(count, dtype=torch.float64))))


def turn_neighbours(x):  # RetNetRelPos: channels 2i and 2i + 1, the last pair at 1e-4 a token
    angle = torch.arange(x.shape[2], dtype=torch.float64)[:, None] * 10000 ** -torch.linspace(0, 1, x.shape[-1] // 2, dtype=torch.float64)
    c, s = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * c - b * s, a * s + b * c], -1).flatten(-2)


def retnet(p, x, n, form=None):  # without the factors that the norm cancels
    q, k, v = (heads(linear(p, which + "_proj", x), n["num_heads"]) for which in "qkv")
    g = retention_logs(n["num_heads"]).to(x.dtype).view(1, -1, 1, 1)
    o, _ = decayed_attention(turn_neighbours(q), turn_neighbours(k), v, g, q.shape[-1] ** -0.5)
    return linear(p, "out_proj", joined(rms_norm(o, 1, n["layernorm_eps"])) * silu(linear(p, "g_proj", x)))


def rebased(p, x, n, form="parallel"):  # corl-team ReBased
    def shaped(proj, norm):
        y = linear(p, proj, x)
        if n["normalize"]:
            y = layer_norm(y, p[norm + ".weight"], p[norm + ".bias"])
        elif n["use_gamma"]:
            y = y * p[norm + ".gamma"]
            y = y + p[norm + ".beta"] if n["use_beta"] else y
        return heads(y, n["num_heads"])

    q, k, v = shaped("proj_q", "ln_q"), shaped("proj_k", "ln_k"), heads(linear(p, "proj_v", x), n["num_heads"])
    return linear(p, "proj_o", joined(quadratic(q, k, v, n["eps"], False, form)))


def fla_rebased(p, x, n, form="parallel"):
    def shaped(proj):
        y = heads(linear(p, proj, x), n["num_heads"])
        gain, bias = p.get("feature_map.gamma"), p.get("feature_map.beta")
        if n["normalize"]:
            return layer_norm(y, gain, bias)
        return y * gain + (bias if bias is not None else 0)

    v = heads(linear(p, "v_proj", x), n["num_heads"])
    return linear(p, "o_proj", joined(quadratic(shaped("q_proj"), shaped("k_proj"), v, n["eps"], False, form)))


def based(p, x, n, form="parallel"):  # corl-team Based, and zoology's with rotary positions
    def shaped(proj, norm):
        y = linear(p, proj, x)
        if n.get("qk_norm"):
            y = layer_norm(y, p[norm + ".weight"], p[norm + ".bias"])
        y = heads(y, n["num_heads"])
        return rotate(y, n["rope_theta"]) if n.get("apply_rotary") else y

    q, k, v = shaped("proj_q", "ln_q"), shaped("proj_k", "ln_k"), heads(linear(p, "proj_v", x), n["num_heads"])
    return linear(p, "proj_o", joined(quadratic(q, k, v, n["eps"], True, form)))


def elu(x):
    return torch.where(x > 0, x, torch.exp(x) - 1)


def zoology_map(p, x, n):
    name, given = n["feature_name"].split(".")[-1], n.get("feature_kwargs", {})
    d, t = x.shape[-1], given.get("temp", 1.0)
    if name == "taylor_exp":
        return taylor_features(x)
    if name == "pos_elu":
        return elu(t * x) + 1
    if name == "ReLU":
        return torch.clamp(t * x, min=0).clamp(min=1e-12)
    if name == "Square":
        return x * x
    if name == "SquaredMap":
        return x * x / math.sqrt(2)
    if name == "all_poly":
        return (linear(p, "feature_map.proj_1", x) ** 2 + linear(p, "feature_map.proj_2", x * x)) / math.sqrt(2)
    if name == "performer":
        w = p["feature_map.random_feats"]
        return torch.exp(x @ w.T / d**0.25 - (x * x).sum(-1, keepdim=True) / (2 * math.sqrt(d))) / math.sqrt(w.shape[0])
    raise ValueError(name)


def zoology_based(p, x, n, form="parallel"):
    if n.get("apply_rotary"):
        return based(p, x, n, form)
    q, k, v = (heads(linear(p, "proj_" + which, x), n["num_heads"]) for which in "qkv")
    o = linear_attention(zoology_map(p, q, n), zoology_map(p, k, n), v, n["eps"], form, n["causal"])
    return linear(p, "proj_o", joined(o))


def fla_map(p, prefix, x, name):
    if name == "elementwise_product":
        return linear(p, prefix + ".layer1", x) * linear(p, prefix + ".layer2", x)
    if name == "hedgehog":
        y = 2 * linear(p, prefix + ".layer", x)
        return torch.softmax(torch.cat([y, -y], -1), -1)
    if name == "dpfp":
        r = torch.cat([torch.clamp(x, min=0), -torch.clamp(x, min=0)], -1)
        return torch.cat([r * torch.roll(r, j, -1) for j in range(1, 5)], -1)
    return {"elu": lambda y: elu(y) + 1, "relu": lambda y: torch.clamp(y, min=0), "identity": lambda y: y}[name](x)


def fla_linear_attention(p, x, n, form="parallel"):
    q, k, v = (heads(linear(p, which + "_proj", x), n["num_heads"]) for which in "qkv")
    q, k = fla_map(p, "feature_map_q", q, n["feature_map"]), fla_map(p, "feature_map_k", k, n["feature_map"])
    scale = q.shape[-1] ** -0.5  # of the mapped queries
    o = linear_attention(q, k, v, 1e-10, form, True, n["do_feature_map_norm"], scale)
    if n["output_norm"] == "rmsnorm":
        o = rms_norm(o, p["norm.weight"], n["norm_eps"])
    return linear(p, "o_proj", joined(o))


# --- convolutions ---


def short_conv(x, w, bias=None):  # w [C, 1, K], whose last tap is the token itself
    K = w.shape[-1]
    padded = torch.cat([x.new_zeros(x.shape[0], K - 1, x.shape[2]), x], 1)
    y = sum(padded[:, j : j + x.shape[1]] * w[:, 0, j] for j in range(K))
    return y if bias is None else y + bias


def long_conv(x, taps):  # taps [C, L], L >= T: y_t = sum over lags j <= t of taps_j x_{t-j}
    T = x.shape[1]
    lag = torch.arange(T)[:, None] - torch.arange(T)[None, :]
    matrix = torch.where(lag >= 0, taps[:, lag.clamp(min=0)], torch.zeros((), dtype=x.dtype))  # [C, T, T]
    return torch.einsum("cts,bsc->btc", matrix, x)


def lag_features(L):  # one band of frequency 1e-4, as zoology's default
    t = torch.arange(L, dtype=torch.float64)
    angle = 1e-4 * 2 * math.pi * t / L
    return torch.stack([t / max(L - 1, 1), angle.cos(), -angle.sin()], -1)


def base_conv(p, x, n, form=None):
    if n["kernel_size"] > 0:
        conv = short_conv(x, p["conv.conv.weight"], p["conv.conv.bias"])
    elif n["implicit_long_conv"]:
        hidden = torch.clamp(linear(p, "conv.mlp.0", p["conv.pos_emb.z"][0]), min=0)
        conv = long_conv(x, linear(p, "conv.mlp.2", hidden).T) + x
    else:
        conv = long_conv(x, p["conv.filter"]) + x
    gate = linear(p, "projection", x)
    return (silu(conv) * silu(gate) if n["use_act"] else conv * gate) + x


def gated_conv(p, x, n, form=None):
    u, gate = linear(p, "in_proj", x).chunk(2, -1)
    return linear(p, "out_proj", silu(short_conv(u, p["conv.conv.weight"])) * gate)


# --- softmax attention ---


def softmax_attention(q, k, v, visible):
    s = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    return torch.softmax(s.masked_fill(~visible, -math.inf), -1) @ v


def window(T, keys):
    return lower(T).bool() & ~lower(T).tril(-keys).bool()


def mha(p, x, n, form=None):
    q, k, v = (heads(y, n["num_heads"]) for y in linear(p, "Wqkv", x).chunk(3, -1))
    return linear(p, "out_proj", joined(softmax_attention(q, k, v, window(x.shape[1], x.shape[1]))))


def sliding(p, x, n, form=None):
    q, k, v = linear(p, "Wqkv", x).chunk(3, -1)
    return linear(p, "out_proj", softmax_attention(q, k, v, window(x.shape[1], n["block_size"] + 1)))


def fla_attention(p, x, n, form=None):  # its three projections in one matrix
    H, G = n["num_heads"], n["num_kv_heads"]
    d = x.shape[2] // H
    q, k, v = (y.reshape(x.shape[0], x.shape[1], -1, d).transpose(1, 2) for y in linear(p, "Wqkv", x).split([H * d, G * d, G * d], -1))
    if n["qk_norm"]:
        q, k = rms_norm(q, p["q_norm.weight"], 1e-5), rms_norm(k, p["k_norm.weight"], 1e-5)
    q, k = (rotate(y, n["rope_theta"], n["rotary_fraction"]) for y in (q, k))
    k, v = (y.repeat_interleave(H // G, 1) for y in (k, v))
    keys = n["window_size"] or x.shape[1]
    return linear(p, "out_proj", joined(softmax_attention(q, k, v, window(x.shape[1], keys))))


# --- feed-forward ---


def mlp(p, x, n, form=None):
    return linear(p, "fc2", gelu(linear(p, "fc1", x)))


def glu(p, x, n, form=None):
    return linear(p, "fc3", linear(p, "fc1", x) * gelu(linear(p, "fc2", x)))


def gated_mlp(p, x, n, form=None):  # the gate is the second half
    y, gate = linear(p, "fc1", x).chunk(2, -1)
    return linear(p, "fc2", y * silu(gate))


# --- language model ---


def below(p, prefix):
    return {name[len(prefix) :]: value for name, value in p.items() if name.startswith(prefix)}


def sequence_mixer(p, x, n, layer):
    kind = n["kind"]
    if kind == "attention":
        return mha(p, x, n)
    p = below(p, "mixer.")
    if layer == 0 and not kind.startswith("double_"):
        return base_conv(p, x, {"kernel_size": 3, "use_act": False})
    kind = kind.replace("double_", "").replace("conv_", "")
    return {"attention": mha, "based": based, "rebased": rebased}[kind](p, x, {**n, "eps": 1e-12})


def language_model(p, tokens, n):
    """Logits and the first output of every block. The blocks' norms keep PyTorch's 1e-5."""
    embedding = p["backbone.embeddings.word_embeddings.weight"]
    h, r, hidden = embedding[tokens], None, []
    if n["max_position_embeddings"] > 0:
        h = h + p["backbone.embeddings.position_embeddings.weight"][: tokens.shape[1]]
    state_mixer = {"Identity": lambda p, x, n: x, "MLP": mlp, "GLU": glu}[n["state_mixer"]]
    for layer in range(n["n_layers"]):
        q = below(p, f"backbone.layers.{layer}.")
        norm1, norm2 = (lambda x, i=i: layer_norm(x, q.get(f"norm{i}.weight"), q.get(f"norm{i}.bias")) for i in (1, 2))
        mix = lambda x: sequence_mixer(below(q, "sequence_mixer."), x, n, layer)
        feed = lambda x: state_mixer(below(q, "state_mixer."), x, n)
        if n["pre_norm"]:
            r = h if r is None else r + h
            r = r + mix(norm1(r))
            h = feed(norm2(r))
        else:
            h = norm1(mix(h) + h)
            h = norm2(feed(h) + h)
        hidden.append(h)
    last = h if r is None else r + h
    last = layer_norm(last, p["backbone.ln_f.weight"], p["backbone.ln_f.bias"], n["layer_norm_epsilon"])
    return last @ embedding.T, hidden


def label_loss(logits, labels):
    asked = labels >= 0
    return -torch.log_softmax(logits[asked], -1).gather(1, labels[asked][:, None]).mean()
