"""What every timed script of this folder measures and prints."""

import json
import resource
import statistics
import time

import torch


def timed(step, steps, warmup, prepare=lambda: None):
    """Milliseconds of each of `steps` calls of step(prepare()), after `warmup` untimed ones; prepare is not timed."""
    times = []
    for i in range(warmup + steps):
        prepared = prepare()
        start = time.perf_counter()
        step(prepared)
        if i >= warmup:
            times.append(1000 * (time.perf_counter() - start))
    return times


def timed_training(model, loss_of, prepare, steps, warmup, clip=None):
    """Milliseconds of each AdamW step on loss_of(batch), batches from prepare(), gradients clipped to norm `clip`; and
    the last step's loss."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    losses = []

    def step(batch):
        optimiser.zero_grad(set_to_none=True)
        loss = loss_of(batch)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        losses.append(loss.item())

    return timed(step, steps, warmup, prepare), losses[-1]


def report(times, **more):
    """Prints one JSON line: median milliseconds, spread ((max - min) / median), peak memory, and what else is given."""
    median = statistics.median(times)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"step_ms_median": round(median, 3), "spread": round((max(times) - min(times)) / median, 3),
                      "peak_rss_mb": round(peak_mb, 1), **more}))


def add_timing_arguments(parser):
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
