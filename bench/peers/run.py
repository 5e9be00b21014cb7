"""Times this project's command and its eager PyTorch peers in turn on this machine, and prints their ratios.

Each round runs every contender once, in the same order, so that a busy minute falls on all of them. The table gives
for each the median over rounds of its median step, the spread over rounds ((max - min) / median), its peak memory,
and its time divided by that of the first line: ours when --ours is given, else the plain eager peer.

--ours COMMAND is run as it stands and must print, as its last line, the JSON that the peers print (peer_timing.py).

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
# Case: contenders, each a name, its script with arguments, and whether it runs with the tuned allocator.
CASES = {
    **{f"mqar-{setting}": [
        ("eager", f"mqar_step.py --setting {setting}", False),
        ("eager, tuned malloc", f"mqar_step.py --setting {setting}", True),
        ("eager, tuned malloc, labelled only", f"mqar_step.py --setting {setting} --labelled-only", True),
    ] for setting in ("simple", "l256")},
    **{f"op-{op}-{direction}": [
        ("eager quadratic", f"attention_op.py --op {op} --form quadratic --direction {direction}", False),
        ("eager quadratic, tuned malloc", f"attention_op.py --op {op} --form quadratic --direction {direction}", True),
        ("eager chunked, tuned malloc", f"attention_op.py --op {op} --form chunked --direction {direction}", True),
    ] for op in ("rebased", "linear") for direction in ("forward", "both")},
}


def contenders(arguments):
    """(name, command, environment) of each, ours first."""
    found = []
    if arguments.ours:
        found.append(("ours", shlex.split(arguments.ours), os.environ))
    flags = ["--steps", arguments.steps, "--warmup", arguments.warmup, "--threads", arguments.threads]
    for name, script, tuned in CASES[arguments.case]:
        file, *options = script.split()
        command = [sys.executable, str(FOLDER / file), *options, *map(str, flags)]
        found.append((name, command, {**os.environ, "GLIBC_TUNABLES": TUNED} if tuned else os.environ))
    return found


def measure(name, command, environment):
    """The JSON that a contender prints; exits with its message when it fails."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    try:
        if done.returncode != 0:
            raise ValueError(f"exit status {done.returncode}")
        result = json.loads(lines[-1] if lines else "")
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
    parser.add_argument("--ours", metavar="COMMAND", help="this project's command for the same case")
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
            results[name].append(measure(name, command, environment))
            if arguments.log:
                with open(arguments.log, "a", encoding="utf-8") as log:
                    log.write(json.dumps({"case": arguments.case, "contender": name, "command": command,
                                          "load": os.getloadavg()[0], **results[name][-1]}) + "\n")
    print(f"{arguments.case}: {arguments.rounds} rounds, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}")
    print_table(list(results), results)


if __name__ == "__main__":
    main()
