"""Times this project's command and its eager PyTorch peers in turn on this machine, and prints their ratios.

Each round runs every contender once, in the same order, so that a busy minute falls on all of them. The table gives
for each the median over rounds of its median step, the spread over rounds ((max - min) / median), its peak memory,
and its time divided by that of the first line: ours.

Ours is `rebased bench` of the release build; --ours COMMAND is run instead, as it stands, and must print, as its last
line, the JSON that the peers print (peer_timing.py).

example:
  ./dev bench mqar-simple --rounds 3 --steps 5
"""

import argparse
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
# Large buffers stay in the heap instead of being mapped and faulted in anew at each step.
TUNED = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184:glibc.malloc.hugetlb=1"
PRECISIONS = {"": "", "-bf16": "--precision bf16"}  # suffix of a language model's case: flag of its peers
OP_FORMS = {"rebased": ("quadratic", "chunked"), "linear": ("quadratic", "chunked"), "softmax": ("quadratic",)}
# Case: contenders, each a name, its script with arguments, and whether it runs with the tuned allocator.
CASES = {
    **{f"mqar-{setting}": [
        ("eager", f"mqar_step.py --setting {setting}", False),
        ("eager, tuned malloc", f"mqar_step.py --setting {setting}", True),
        ("eager, tuned malloc, labelled only", f"mqar_step.py --setting {setting} --labelled-only", True),
    ] for setting in ("simple", "l256")},
    **{f"lm-rebased{suffix}": [
        ("eager quadratic, tuned malloc", f"lm_step.py --model rebased --batch 4 {flag}", True),
        ("eager chunked, tuned malloc", f"lm_step.py --model rebased --form chunked --batch 4 {flag}", True),
    ] for suffix, flag in PRECISIONS.items()},
    **{f"lm-transformer{suffix}": [("eager, tuned malloc", f"lm_step.py --model transformer --batch 4 {flag}", True)]
       for suffix, flag in PRECISIONS.items()},
    **{f"op-{op}-{direction}": [
        ("eager quadratic", f"attention_op.py --op {op} --form quadratic --direction {direction}", False),
        *[(f"eager {form}, tuned malloc", f"attention_op.py --op {op} --form {form} --direction {direction}", True)
          for form in forms],
    ] for op, forms in OP_FORMS.items() for direction in ("forward", "both")},
}
PROGRAM = FOLDER.parents[1] / "build/release/rebased"
KERNEL = f"{shlex.quote(str(PROGRAM))} bench kernels --json --rounds {{steps}} --threads {{threads}} --only"


def train(recipe, *settings):
    """Our command for the training steps of a recipe."""
    flags = " ".join(f"--set {setting}" for setting in ("threads={threads}", *settings))
    return f"{shlex.quote(str(PROGRAM))} bench train recipes/{recipe}.toml --json --rounds {{steps}} {flags}"


# Peers make a batch when they need it: ours holds only as many examples as the largest batch takes.
SMALL = ("data.options.generator=fast", "data.train_examples=512", "data.test_examples=64")
OURS = {
    "mqar-simple": train("mqar-simple", *SMALL),
    "mqar-l256": train("mqar-simple", *SMALL, "data.options.seq_len=256", "data.options.pairs=64", "model.d_model=64",
                       "train.batch_size=64"),
    **{f"lm-{model}{suffix}": train(f"bench/lm-25m-{model}", "train.batch_size=4", f"precision={precision}")
       for model in ("rebased", "transformer") for suffix, precision in (("", "f32"), ("-bf16", "bf16"))},
    **{f"op-{op}-{direction}": f"{KERNEL} '{row}'"
       for op, row in (("rebased", "rebased B4 H8 T2048 d16 v64"), ("linear", "linear B4 H8 T2048 d64 v64"),
                       ("softmax", "softmax B4 H8 T2048 d64 v64"))
       for direction in ("forward", "both")},
}


def read_bench(result, case):
    """What `rebased bench` printed, in the terms of the peers."""
    row = result["rows"][0]
    parts = [row["step"]] if "step" in row else [row["forward"]]
    if case.endswith("-both"):
        parts.append(row["backward"])
    median = sum(part["median_s"] for part in parts)
    spread = sum(part["high_s"] - part["low_s"] for part in parts) / median
    return {"step_ms_median": 1000 * median, "spread": spread, "peak_rss_mb": result["peak_mb"]}


def contenders(arguments):
    """(name, command, environment) of each, ours first."""
    ours = arguments.ours or OURS[arguments.case].format(steps=arguments.steps, threads=arguments.threads)
    found = [("ours", shlex.split(ours), os.environ)]
    flags = ["--steps", arguments.steps, "--warmup", arguments.warmup, "--threads", arguments.threads]
    for name, script, tuned in CASES[arguments.case]:
        file, *options = script.split()
        command = [sys.executable, str(FOLDER / file), *options, *map(str, flags)]
        found.append((name, command, {**os.environ, "GLIBC_TUNABLES": TUNED} if tuned else os.environ))
    return found


def measure(name, command, environment, case):
    """The figures that a contender prints as JSON; exits with its message when it fails."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    try:
        if done.returncode != 0:
            raise ValueError(f"exit status {done.returncode}")
        is_bench = pathlib.Path(command[0]) == PROGRAM
        result = read_bench(json.loads(done.stdout), case) if is_bench else json.loads(lines[-1] if lines else "")
        return {key: float(result[key]) for key in ("step_ms_median", "spread", "peak_rss_mb")}
    except (ValueError, KeyError, TypeError) as error:
        sys.exit(f"{name}: {shlex.join(command)}: {error!r}\n{done.stderr[-2000:]}")


def print_table(names, results):
    width = max(map(len, names))
    print(f"{'contender':{width}}  {'ms':>10}  {'spread':>7}  {'peak MB':>8}  {'ratio':>7}")
    base = None
    for name in names:
        times = [result["step_ms_median"] for result in results[name]]
        median = statistics.median(times)
        base = base or median
        peak = max(result["peak_rss_mb"] for result in results[name])
        print(f"{name:{width}}  {median:10.2f}  {(max(times) - min(times)) / median:7.1%}  {peak:8.0f}"
              f"  {median / base:7.2f}")


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="?", choices=CASES, default="mqar-simple")
    parser.add_argument("--ours", metavar="COMMAND", help="another command than `rebased bench` for our line")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--steps", type=positive, default=5, help="timed steps of a peer in a round")
    parser.add_argument("--warmup", type=positive, default=2)
    parser.add_argument("--threads", type=positive, default=os.cpu_count())
    parser.add_argument("--log", metavar="FILE", help="append every single result, with its command, as a JSON line")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    table = contenders(arguments)
    results = {name: [] for name, _, _ in table}
    for turn in range(arguments.rounds):
        for name, command, environment in table:
            print(f"round {turn + 1} of {arguments.rounds}: {name}", file=sys.stderr)
            results[name].append(measure(name, command, environment, arguments.case))
            if arguments.log:
                with open(arguments.log, "a", encoding="utf-8") as log:
                    log.write(json.dumps({"case": arguments.case, "contender": name, "command": command,
                                          "load": os.getloadavg()[0], **results[name][-1]}) + "\n")
    print(f"{arguments.case}: {arguments.rounds} rounds, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}")
    print_table(list(results), results)


if __name__ == "__main__":
    main()
