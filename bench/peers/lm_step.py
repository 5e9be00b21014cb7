"""Times training steps of a 25M-parameter language model in eager PyTorch on the CPU: recipes/bench/lm-25m-*.toml.

rebased      8 layers, gated short convolution and ReBased in turn; its attention in the T x T form or in chunks
transformer  7 layers of softmax attention with rotary positions

All have RMSNorm, SwiGLU, tied head, vocabulary 16384, T 1024, AdamW, gradients clipped to norm 1. Random tokens. bf16
runs the forward pass and the loss under torch.autocast. Prints one JSON line; see peer_timing.py.
"""

import argparse
import math

import torch
from torch import nn
from torch.nn import functional as F

from attention_op import FORMS
from peer_timing import add_timing_arguments, report, timed_training

VOCABULARY, LENGTH, WIDTH, HEADS, KEY_DIM, HIDDEN = 16384, 1024, 512, 8, 16, 896


class RmsNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * self.weight


class SwiGlu(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(WIDTH, 2 * HIDDEN, bias=False)
        self.fc2 = nn.Linear(HIDDEN, WIDTH, bias=False)

    def forward(self, x):
        up, gate = self.fc1(x).chunk(2, dim=-1)
        return self.fc2(up * F.silu(gate))


class GatedConv(nn.Module):
    def __init__(self, kernel=3):
        super().__init__()
        self.in_proj = nn.Linear(WIDTH, 2 * WIDTH)
        self.conv = nn.Conv1d(WIDTH, WIDTH, kernel, groups=WIDTH, padding=kernel - 1, bias=False)
        self.out_proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        u, gate = self.in_proj(x).chunk(2, dim=-1)
        u = self.conv(u.transpose(1, 2))[..., : x.shape[1]].transpose(1, 2)
        return self.out_proj(F.silu(u) * gate)


def heads_first(x):
    return x.unflatten(-1, (HEADS, -1)).transpose(1, 2)


class Rebased(nn.Module):
    def __init__(self, form):
        super().__init__()
        self.attend = FORMS[form]
        self.proj_q, self.proj_k = (nn.Linear(WIDTH, HEADS * KEY_DIM, bias=False) for _ in range(2))
        self.ln_q, self.ln_k = nn.LayerNorm(HEADS * KEY_DIM), nn.LayerNorm(HEADS * KEY_DIM)
        self.proj_v, self.proj_o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(2))

    def forward(self, x):
        q, k = heads_first(self.ln_q(self.proj_q(x).float())), heads_first(self.ln_k(self.proj_k(x).float()))
        out = self.attend("rebased", q, k, heads_first(self.proj_v(x)))
        return self.proj_o(out.transpose(1, 2).flatten(2))


def rotation():
    """cos and sin [T, head / 2] of the rotary embedding."""
    half = WIDTH // HEADS // 2
    angles = torch.outer(torch.arange(LENGTH), 10000.0 ** (-torch.arange(half) / half))
    return angles.cos(), angles.sin()


class SoftmaxAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.wqkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out_proj = nn.Linear(WIDTH, WIDTH, bias=False)
        self.cos, self.sin = rotation()
        self.mask = torch.full((LENGTH, LENGTH), -math.inf).triu(1)

    def rotate(self, x):
        first, second = x.chunk(2, dim=-1)
        return torch.cat([first * self.cos - second * self.sin, second * self.cos + first * self.sin], -1)

    def forward(self, x):
        q, k, v = (heads_first(part) for part in self.wqkv(x).chunk(3, dim=-1))
        scores = self.rotate(q) * q.shape[-1] ** -0.5 @ self.rotate(k).transpose(-1, -2) + self.mask
        return self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, mixer):
        super().__init__()
        self.norm1, self.mixer, self.norm2, self.mlp = RmsNorm(), mixer, RmsNorm(), SwiGlu()

    def forward(self, x):
        x = x + self.mixer(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class LanguageModel(nn.Module):
    def __init__(self, model, form):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH)
        nn.init.normal_(self.tokens.weight, 0, 0.02)
        mixers = [SoftmaxAttention() for _ in range(7)] if model == "transformer" else \
            [Rebased(form) if layer % 2 else GatedConv() for layer in range(8)]
        self.blocks = nn.Sequential(*map(Block, mixers))
        self.norm = RmsNorm()

    def forward(self, inputs):
        return F.linear(self.norm(self.blocks(self.tokens(inputs))), self.tokens.weight)


def timed_steps(model, form, precision, batch, steps, warmup):
    """Milliseconds of each step after the warm-up, and the last step's loss."""
    torch.manual_seed(42)
    network = LanguageModel(model, form)

    def loss_of(tokens):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            return F.cross_entropy(network(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())

    return timed_training(network, loss_of, lambda: torch.randint(VOCABULARY, (batch, LENGTH + 1)), steps, warmup,
                          clip=1.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=["rebased", "transformer"], default="rebased")
    parser.add_argument("--form", choices=FORMS, default="quadratic", help="of ReBased's attention")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="of matrix products")
    parser.add_argument("--batch", type=int, default=8)
    add_timing_arguments(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    times, loss = timed_steps(arguments.model, arguments.form, arguments.precision, arguments.batch, arguments.steps,
                              arguments.warmup)
    report(times, loss=round(loss, 6))


if __name__ == "__main__":
    main()
