"""Times training steps of the published MQAR model in eager PyTorch on the CPU, as its authors' code would take them.

Two layers, [short convolution (BaseConv), sequence mixer], learned positions, tied head, and the residual order of the
published runs, in which every layer also adds a normalised copy of the stream. The mixer is written with plain torch
operations: the T x T form that the published Triton kernels compute, which is what a CPU user of them would have.

Prints one JSON line: milliseconds a step (median), their spread ((max - min) / median), peak memory, last loss.
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F

from peer_timing import add_timing_arguments, report, timed_training

IGNORED = -100
SETTINGS = {  # vocabulary, length, key-value pairs, width, batch
    "simple": dict(vocab=8192, length=48, pairs=12, width=32, batch=512),
    "l256": dict(vocab=8192, length=256, pairs=64, width=64, batch=64),
}


class BaseConv(nn.Module):
    """conv(u) * (W u + b) + u, the convolution causal and depthwise over 3 tokens."""

    def __init__(self, width, kernel=3):
        super().__init__()
        self.conv = nn.Conv1d(width, width, kernel, groups=width, padding=kernel - 1)
        self.projection = nn.Linear(width, width)

    def forward(self, u):
        convolved = self.conv(u.transpose(1, 2))[..., : u.shape[1]].transpose(1, 2)
        return convolved * self.projection(u) + u


class QuadraticAttention(nn.Module):
    """Linear attention in its T x T form: ReBased, s^2 with normalised queries and keys, or Based, 1 + s + s^2 / 2."""

    def __init__(self, width, kind, heads=12, feature_dim=16, eps=1e-12):
        super().__init__()
        self.kind, self.heads, self.eps = kind, heads, eps
        self.value_dim = width // heads
        self.scale = feature_dim**-0.5
        self.proj_q = nn.Linear(width, heads * feature_dim, bias=False)
        self.proj_k = nn.Linear(width, heads * feature_dim, bias=False)
        self.proj_v = nn.Linear(width, heads * self.value_dim, bias=False)
        self.proj_o = nn.Linear(heads * self.value_dim, width, bias=False)
        rebased = kind == "rebased"
        self.ln_q = nn.LayerNorm(heads * feature_dim) if rebased else nn.Identity()  # gamma, beta, over all heads
        self.ln_k = nn.LayerNorm(heads * feature_dim) if rebased else nn.Identity()

    def split(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x):
        q = self.split(self.ln_q(self.proj_q(x)))
        k = self.split(self.ln_k(self.proj_k(x)))
        v = self.split(self.proj_v(x))
        s = (q * self.scale) @ k.transpose(-1, -2)
        weights = s * s if self.kind == "rebased" else 1 + s + 0.5 * s * s
        weights = weights.tril()
        out = (weights @ v) / (weights.sum(-1, keepdim=True) + self.eps)
        return self.proj_o(out.transpose(1, 2).flatten(2))


class SoftmaxAttention(nn.Module):
    """One head as wide as the model, additive mask, dropout 0.1 on the probabilities."""

    def __init__(self, width):
        super().__init__()
        self.scale = width**-0.5
        self.wqkv = nn.Linear(width, 3 * width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, x):
        q, k, v = self.wqkv(x).chunk(3, dim=-1)
        mask = torch.full((x.shape[1], x.shape[1]), -10000.0).triu(1)
        scores = q @ (k * self.scale).transpose(-1, -2) + mask
        return self.out_proj(F.dropout(scores.softmax(-1), 0.1, self.training) @ v)


class MqarModel(nn.Module):
    """Tokens [B, T] to the stream after the last norm [B, T, width]; `head` makes logits of it."""

    def __init__(self, vocab, length, width, mixer):
        super().__init__()
        self.tokens = nn.Embedding(vocab, width)
        self.positions = nn.Embedding(length, width)
        last = SoftmaxAttention(width) if mixer == "attention" else QuadraticAttention(width, mixer)
        self.mixers = nn.ModuleList([BaseConv(width), last])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(2 * len(self.mixers))])
        self.last_norm = nn.LayerNorm(width)
        self.apply(self.initialise)
        for name, parameter in self.named_parameters():
            if "out_proj.weight" in name:
                nn.init.normal_(parameter, 0, 0.02 / math.sqrt(2 * len(self.mixers)))

    @staticmethod
    def initialise(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, 0, 0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, inputs):
        stream = self.tokens(inputs) + self.positions(torch.arange(inputs.shape[1]))
        stream = F.dropout(stream, 0.1, self.training)
        for layer, mixer in enumerate(self.mixers):
            stream = stream + mixer(self.norms[2 * layer](stream))
            stream = stream + self.norms[2 * layer + 1](stream)
        return self.last_norm(stream)

    def head(self, x):
        return F.linear(x, self.tokens.weight)


def random_batch(setting, generator):
    """Inputs and labels [B, T] shaped as MQAR's: pairs, then each key once among blanks, its value as label."""
    batch, length, pairs, half = setting["batch"], setting["length"], setting["pairs"], setting["vocab"] // 2
    keys = 1 + torch.rand(batch, half - 1, generator=generator).topk(pairs).indices
    values = half + torch.rand(batch, half, generator=generator).topk(pairs).indices
    slots = (length - 2 * pairs) // 2
    queries = 2 * pairs + 2 * torch.rand(batch, slots, generator=generator).topk(pairs).indices
    inputs = torch.zeros(batch, length, dtype=torch.int64)
    inputs[:, 0 : 2 * pairs : 2] = keys
    inputs[:, 1 : 2 * pairs : 2] = values
    inputs.scatter_(1, queries, keys)
    labels = torch.full((batch, length), IGNORED).scatter_(1, queries, values)
    return inputs, labels


def loss_of(model, inputs, labels, labelled_only):
    x = model(inputs)
    if labelled_only:  # the head on the labelled positions alone: same loss, a fraction of the logits
        chosen = labels != IGNORED
        return F.cross_entropy(model.head(x[chosen]), labels[chosen])
    return F.cross_entropy(model.head(x).flatten(0, 1), labels.flatten(), ignore_index=IGNORED)


def timed_steps(setting, mixer, labelled_only, steps, warmup):
    """Milliseconds of each step after the warm-up, and the last step's loss."""
    torch.manual_seed(42)
    generator = torch.Generator().manual_seed(42)
    model = MqarModel(setting["vocab"], setting["length"], setting["width"], mixer)
    return timed_training(model, lambda batch: loss_of(model, *batch, labelled_only),
                          lambda: random_batch(setting, generator), steps, warmup)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setting", choices=SETTINGS, default="simple")
    parser.add_argument("--mixer", choices=["rebased", "based", "attention"], default="rebased")
    parser.add_argument("--labelled-only", action="store_true", help="logits of the labelled positions alone")
    add_timing_arguments(parser)
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    times, loss = timed_steps(SETTINGS[arguments.setting], arguments.mixer, arguments.labelled_only, arguments.steps,
                              arguments.warmup)
    report(times, loss=round(loss, 6))


if __name__ == "__main__":
    main()
