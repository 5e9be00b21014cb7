"""Times one causal attention operation in eager PyTorch on the CPU.

  rebased  weights (q.k)^2 / Dk, normalised by their sum;        B 4, H 8, T 2048, Dk 16, Dv 64
  linear   weights q.k / sqrt(Dk), not normalised;               B 4, H 8, T 2048, Dk 64, Dv 64
  softmax  weights exp(q.k / sqrt(Dk)), normalised by their sum; B 4, H 8, T 2048, Dk 64, Dv 64

Forms: quadratic makes the T x T weights; chunked, for the first two, makes them within chunks of 128 and carries a
state of features between chunks, with the feature map's exact packing, which is linear in T. Prints one JSON line; see
peer_timing.py.
"""

import argparse

import torch

from peer_timing import add_timing_arguments, report, timed

BATCH, HEADS, LENGTH, VALUE_DIM = 4, 8, 2048, 64
KEY_DIM = {"rebased": 16, "linear": 64, "softmax": 64}
CHUNK = 128
EPS = 1e-12


def weights_of(op, q, k):
    s = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if op == "softmax":
        return (s + torch.full(s.shape[-2:], float("-inf")).triu(1)).softmax(-1)
    return (s * s if op == "rebased" else s).tril()


def features(op, x, is_query):
    """phi with phi(q).phi(k) = the weight: for rebased the D (D + 1) / 2 distinct products of x with itself, their
    factors picked by a product with a 0/1 matrix: the gradient of indexing is an order of magnitude slower."""
    dim = x.shape[-1]
    if op == "linear":
        return x * dim**-0.5 if is_query else x
    rows, columns = torch.triu_indices(dim, dim)
    factors = torch.where(rows == columns, 1.0, 2.0**0.5) * dim**-0.5
    identity = torch.eye(dim)
    return (x @ (identity[:, rows] * factors)) * (x @ identity[:, columns])


def with_ones(v):
    return torch.cat([v, torch.ones_like(v[..., :1])], -1)


def normalised(op, sums):
    """The last column of sums is that of the weights."""
    return sums[..., :-1] / (sums[..., -1:] + EPS) if op == "rebased" else sums


def quadratic(op, q, k, v):
    return normalised(op, weights_of(op, q, k) @ (with_ones(v) if op == "rebased" else v))


def chunked(op, q, k, v):
    q, k, v = (x.unflatten(2, (-1, CHUNK)) for x in (q, k, v))
    v = with_ones(v) if op == "rebased" else v
    added = features(op, k, False).transpose(-1, -2) @ v
    state = added.cumsum(2) - added  # what stands before each chunk
    sums = weights_of(op, q, k) @ v + features(op, q, True) @ state
    return normalised(op, sums).flatten(2, 3)


FORMS = {"quadratic": quadratic, "chunked": chunked}


def inputs_of(op):
    torch.manual_seed(42)
    shapes = (KEY_DIM[op], KEY_DIM[op], VALUE_DIM)
    return [torch.randn(BATCH, HEADS, LENGTH, width, requires_grad=True) for width in shapes]


def step_of(op, form, direction):
    q, k, v = inputs_of(op)
    gradient = torch.randn(BATCH, HEADS, LENGTH, VALUE_DIM)

    def forward(_):
        with torch.no_grad():
            FORMS[form](op, q, k, v)

    def both(_):
        torch.autograd.grad(FORMS[form](op, q, k, v), (q, k, v), gradient)

    return forward if direction == "forward" else both


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--op", choices=KEY_DIM, default="rebased")
    parser.add_argument("--form", choices=FORMS, default="chunked")
    parser.add_argument("--direction", choices=["forward", "both"], default="both", help="both: with the gradients")
    add_timing_arguments(parser)
    arguments = parser.parse_args()
    if arguments.op == "softmax" and arguments.form == "chunked":
        parser.error("--form chunked: expected quadratic for softmax, whose weights have no finite features")
    return arguments


def main():
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    step = step_of(arguments.op, arguments.form, arguments.direction)
    report(timed(step, arguments.steps, arguments.warmup))


if __name__ == "__main__":
    main()
