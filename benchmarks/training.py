"""Measure training beside PyTorch, how time and memory grow, and the first seconds.

    python benchmarks/training.py                          # print the tables
    python benchmarks/training.py --write docs/speed.md    # put them there
    python benchmarks/training.py steps --rounds 5         # one of them, see TABLES

Each figure comes from processes of their own (`training_tasks.py`). Those of a row take turns, so
that what else the machine does falls on all of them alike. Takes three quarters of an hour on two
cores, and 12 GB. `python -m pip install vector-quantize-pytorch` brings what the quantizer is
compared with; `torch.compile` needs a C++ compiler.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from tables import markdown, write_block

TASKS = Path(__file__).with_name("training_tasks.py")
OURS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
PLAIN = {"eager": "plain PyTorch", "compiled": "`torch.compile`"}
STEPS = {
    "vqvae": ("VQ-VAE-2 of 128 channels, a step of 128", 128),
    "prior": ("prior as specified, a step of 64", 64),
}
LONG_PRIORS = {
    "no dropout": {"dropout": 0.0, "attention": 0},
    "dropout 0.1": {"dropout": 0.1, "attention": 0},
    "dropout 0.1, 4 attention layers": {"dropout": 0.1, "attention": 4},
}
SWEEPS = {
    "batch": (16, 32, 64, 128),
    "side": (16, 32, 64),
    "codes": (512, 2048, 8192),
    "levels": (1, 2, 3),
}


def run(task, engine, folder, checkout=None, **arguments):
    """Run a task of `training_tasks.py` in a process of its own; return its dictionary.

    Args:
        task: its name.
        engine: a backend, or a key of `PLAIN`.
        folder: for its files.
        checkout: another checkout of the package, whose package is measured.
        **arguments: of the task.
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    if checkout is not None:
        environment["PYTHONPATH"] = str(checkout)
    environment["KERAS_BACKEND"] = "torch" if engine in PLAIN else engine
    done = subprocess.run(
        [sys.executable, TASKS, task, engine, folder, json.dumps(arguments)],
        env=environment,
        check=True,
        timeout=1800,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def turns(task, engines, folder, rounds, **arguments):
    """Run a task by each engine in turn, some times over; return the dictionaries of each."""
    found = {engine: [] for engine in engines}
    for _ in range(rounds):
        for engine in engines:
            found[engine].append(run(task, engine, folder, **arguments))
    return found


def figures(found, name="times"):
    """All figures of a name, of each engine."""
    return {engine: [x for one in runs for x in one[name]] for engine, runs in found.items()}


def text(times):
    """The least and the median."""
    return f"{min(times):,.0f} / {statistics.median(times):,.0f}"


def steps(folder, rounds):
    """Return the table of training steps."""
    titles = [f"ours, {title}" for title in OURS.values()]
    rows = [["ms, least / median", titles[0], "in `fit`", *titles[1:], *PLAIN.values(), "as fast"]]
    for stage, (title, batch) in STEPS.items():
        found = turns("step", [*OURS, *PLAIN], folder, rounds, stage=stage, batch=batch, runs=3)
        check_losses({engine: runs[0]["loss"] for engine, runs in found.items()})
        times = figures(found)
        cells = [text(one) for one in times.values()]
        cells.insert(1, text(figures({"fit": found["tensorflow"]}, "in fit")["fit"]))
        ratio = min(times["eager"]) / min(times["tensorflow"])
        rows.append([title, *cells, f"{ratio:.2f}×"])
    return markdown(rows)


def check_losses(losses):
    """Raise if the first losses, a dictionary, differ: then it is not the same network."""
    if losses and np.ptp(list(losses.values())) > 1e-3 * max(losses.values()):
        raise ValueError(f"Not the same network: the first losses are {losses}")


def use(folder, rounds):
    """Return the table of encoding and decoding."""
    found = turns("use", [*OURS, "eager"], folder, rounds, batch=128, runs=5)
    rows = [
        ["ms, least / median", *(f"ours, {x}" for x in OURS.values()), "plain PyTorch", "as fast"]
    ]
    for name in ("encode", "decode"):
        times = figures(found, name)
        ratio = min(times["eager"]) / min(times["tensorflow"])
        rows.append([f"{name} 128", *map(text, times.values()), f"{ratio:.2f}×"])
    return markdown(rows)


def quantizers(folder, rounds):
    """Return the table of quantizers."""
    peer = "`vector-quantize-pytorch`"
    rows = [["ms, least / median", *(f"ours, {x}" for x in OURS.values()), peer, "as fast"]]
    rows[0] += ["extra MiB", "of the other"]
    for size in (512, 8192):
        found = turns("quantizer", [*OURS, "eager"], folder, rounds, size=size, runs=8)
        times = figures(found)
        memory = {e: statistics.median(one["mib"] for one in runs) for e, runs in found.items()}
        ratio = min(times["eager"]) / min(times["tensorflow"])
        row = [f"K {size}, 8,192 vectors of 64", *map(text, times.values()), f"{ratio:.1f}×"]
        rows.append([*row, f"{memory['tensorflow']:.0f}", f"{memory['eager']:.0f}"])
    return markdown(rows)


def growth(folder, rounds):
    """Return how time and memory of a step grow with its sizes, with fitted exponents."""
    rows = [["what grows", "to", "ms", "exponent", "extra MiB", "exponent"]]
    for name, values in SWEEPS.items():
        found = [run("grow", "tensorflow", folder, **{name: value}) for value in values]
        row = [name, ", ".join(map(str, values))]
        for grown in ([min(one["times"]) for one in found], [one["mib"] for one in found]):
            exponent = np.polyfit(np.log(values), np.log(np.maximum(grown, 1)), 1)[0]
            row += [", ".join(f"{figure:,.0f}" for figure in grown), f"{exponent:.2f}"]
        rows.append(row)
    return markdown(rows)


def memory(folder, rounds):
    """Return the estimate of `info` beside the measured peak."""
    rows = [["GiB", "batch", "`info` says", "measured", "whole process"]]
    for stage, title, batches in (
        (1, "stage 1, the VQ-VAE-2 learns", (64, 128, 256)),
        (2, "stage 2, the prior learns", (64, 128, 256)),
        (3, "stage 3, images are generated", (64,)),
    ):
        for batch in batches:
            found = run("peak", "tensorflow", folder, batch=batch, stage=stage)
            sizes = [found[name] for name in ("estimate", "peak", "process")]
            rows.append([title, batch, *(f"{x / 1024:.1f}" if x else "" for x in sizes)])
    return markdown(rows)


def rematerialization(folder, rounds):
    """Return what a step takes that keeps what its gradient needs, or computes it again."""
    rows = [["a prior of 16 blocks", "backend", "kept: ms, MiB", "computed again", "ratios"]]
    for title, options in LONG_PRIORS.items():
        for engine, name in OURS.items():
            found = [[], []]
            for _ in range(rounds):
                for way, runs in enumerate(found):
                    runs.append(run("again", engine, folder, rematerialize=bool(way), **options))
            times = [min(x for one in runs for x in one["times"]) for runs in found]
            memory = [statistics.median(one["mib"] for one in runs) for runs in found]
            cells = [f"{t:,.0f}, {m:,.0f}" for t, m in zip(times, memory, strict=True)]
            ratios = f"{times[1] / times[0]:.2f}, {memory[1] / memory[0]:.2f}"
            rows.append([title, name, *cells, ratios])
    return markdown(rows)


def start(folder, rounds):
    """Return what a fresh process spends until it has images."""
    found = turns("start", OURS, folder, rounds)
    rows = [["seconds (of processor time)", *OURS.values()]]
    for what in found["tensorflow"][0]:
        least = [min(one[what] for one in runs) for runs in found.values()]
        rows.append([what, *(f"{wall:.1f} ({cpu:.1f})" for wall, cpu in least)])
    return markdown(rows)


TABLES = {
    table.__name__: table
    for table in (steps, use, quantizers, growth, memory, rematerialization, start)
}


def main():
    """Make the tables, print them, and write them where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", nargs="*", help=f"some of {', '.join(TABLES)}; all if left out")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each process")
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the tables")
    options = parser.parse_args()
    for name in options.tables or TABLES:
        with tempfile.TemporaryDirectory() as folder:
            table = TABLES[name](Path(folder), options.rounds)
        print(table, end="\n\n")
        if options.write is not None:
            write_block(options.write, table, name)


if __name__ == "__main__":
    main()
