"""Loads the library into Python's torch and checks forward and backward of every operation in torch.ops.rebased."""

import sys

try:
    import torch
except ImportError:
    print("skipped: /usr/bin/python3 has no torch (Debian: python3-torch)")
    sys.exit()

torch.ops.load_library(sys.argv[1])
ops = torch.ops.rebased


def quadratic(q, k, v, a, b, c, scale, eps, normalize):
    x = scale * torch.einsum("bthd,bshd->bhts", q, k)
    similarity = torch.tril(a + b * x + c * x * x)
    o = torch.einsum("bhts,bshv->bthv", similarity, v)
    z = similarity.sum(-1).transpose(1, 2).unsqueeze(-1)
    return o / (z + eps) if normalize else o


def linear(q, k, v, scale, eps, normalize):
    return quadratic(q, k, v, 0, 1, 0, scale, eps, normalize)


def short_conv(x, w, bias, silu):
    y = torch.nn.functional.conv1d(x.transpose(1, 2), w.unsqueeze(1), bias, padding=w.shape[1] - 1, groups=w.shape[0])
    y = y[..., : x.shape[1]].transpose(1, 2)
    return torch.nn.functional.silu(y) if silu else y


def cross_entropy(x, e, labels):
    return torch.nn.functional.cross_entropy(x @ e.t(), labels)


def check(name, op, oracle, tensors, rest):
    """float32 kernels against a float64 formula, outputs and gradients; 1e-4 of the largest entry covers the float32
    rounding of sums of up to 40 terms."""
    ours = [t.clone().requires_grad_(t.is_floating_point()) for t in tensors]
    theirs = [t.double().requires_grad_(True) if t.is_floating_point() else t for t in tensors]
    y, expected = op(*ours, *rest), oracle(*theirs, *rest)
    upstream = torch.randn(y.shape)
    (y * upstream).sum().backward()
    (expected * upstream.double()).sum().backward()
    pairs = [("output", y, expected)]
    pairs += [(f"gradient {i}", a.grad, b.grad) for i, (a, b) in enumerate(zip(ours, theirs)) if a.is_floating_point()]
    for what, a, b in pairs:
        error = (a.double() - b).abs().max().item() / max(b.abs().max().item(), 1e-6)
        assert error < 1e-4, f"{name}: {what} differs by {error:.2e} of its largest entry"


torch.manual_seed(7)
q, k, v = torch.rand(2, 37, 3, 8) + 0.1, torch.rand(2, 37, 3, 8) + 0.1, torch.randn(2, 37, 3, 5)
check("rebased", ops.quadratic_attention, quadratic, [q, k, v], [0.0, 0.0, 1.0, 8**-0.5, 1e-12, True])
check("based", ops.quadratic_attention, quadratic, [q, k, v], [1.0, 1.0, 0.5, 8**-0.5, 1e-6, True])
check("unnormalised", ops.quadratic_attention, quadratic, [q, k, v], [0.5, 0.0, 1.0, 1.0, 1e-6, False])
check("linear", ops.linear_attention, linear, [q, k, v], [0.5, 1e-6, True])
check("short_conv", ops.short_conv, short_conv, [torch.randn(2, 19, 6), torch.randn(6, 3), torch.randn(6)], [True])
check("cross_entropy", ops.cross_entropy, cross_entropy, [torch.randn(11, 8), torch.randn(23, 8), torch.randint(23, (11,))], [])

for wrong in (lambda: ops.quadratic_attention(q, k[:, :5], v), lambda: ops.short_conv(q, k, None)):
    try:
        wrong()
    except RuntimeError as error:
        assert "expected [" in str(error), error
    else:
        raise AssertionError("a wrong shape was accepted")

print("6 operations agree, forward and backward")
