"""Measure training, the quantizer and sampling on a GPU, by JAX beside plain PyTorch.

    python benchmarks/gpu.py                          # print the tables
    python benchmarks/gpu.py --write docs/speed.md    # put them there

Processes compile and warm up side by side (`gpu_tasks.py`), which takes most of the time; then each
is measured alone, while the others wait. Takes 50 GB of the GPU. `python -m pip install
vector-quantize-pytorch` brings what the quantizer is compared with.
"""

import argparse
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from tables import markdown, write_block
from training import LONG_PRIORS, PLAIN, check_losses

TASKS = Path(__file__).with_name("gpu_tasks.py")
STAGES = {
    "vqvae": ("VQ-VAE-2 of 128 channels, a step of", (128, 512)),
    "prior": ("prior as specified, a step of", (64, 256)),
}
PRECISIONS = ("float32", "TF32", "bfloat16")
SIZES = (512, 8192)  # of codebooks
# No process takes the whole device.
SETTINGS = {"KERAS_BACKEND": "jax", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def tasks(folder):
    """Return all tasks by the words of their keys: `(task, engine, precision, arguments)`."""
    found = {}
    for precision in PRECISIONS:
        found[f"peak {precision}"] = ("peak", "jax", precision, {})
        found[f"use {precision}"] = ("use", "jax", precision, {})
        for stage, (_, batches) in STAGES.items():
            arguments = {"stage": stage, "batches": batches, "folder": folder}
            for engine in ("jax", "eager"):
                found[f"{stage} {engine} {precision}"] = ("step", engine, precision, arguments)
            # Another batch would be compiled anew.
            arguments = {**arguments, "batches": batches[:1]}
            found[f"{stage} compiled {precision}"] = ("step", "compiled", precision, arguments)
    for size in SIZES:
        for engine in ("jax", "eager"):
            found[f"{size} {engine}"] = ("quantizer", engine, "TF32", {"size": size})
    for title, options in LONG_PRIORS.items():
        for way in (False, True):
            arguments = {"batch": 16, "rematerialize": way, **options}
            found[f"{title}, {way}"] = ("again", "jax", "TF32", arguments)
    return found


def measure(wanted, limit):
    """Run tasks, each in a process of its own: side by side until all are ready, then in turn.

    Args:
        wanted: dictionary of `(task, engine, precision, arguments)`.
        limit: seconds in which a process has to be ready.

    Returns:
        A dictionary of what each found, None of those that failed or were not ready.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    start, running, found = time.monotonic(), {}, dict.fromkeys(wanted)
    for key, (*words, arguments) in wanted.items():
        command = [sys.executable, TASKS, *words, json.dumps(arguments)]
        running[key] = subprocess.Popen(command, env={**os.environ, **SETTINGS}, **pipes)
    for key, process in running.items():
        left = max(0, start + limit - time.monotonic())
        if not select.select([process.stdout], [], [], left)[0]:
            process.kill()
        state = process.stdout.readline().strip() or "failed, or not ready in time"
        print(f"{time.monotonic() - start:4.0f} s  {key}: {state}", file=sys.stderr, flush=True)
    for key, process in running.items():
        lines = []
        with contextlib.suppress(BrokenPipeError):
            lines = process.communicate("go\n")[0].splitlines()
        if process.returncode == 0:
            found[key] = json.loads(lines[-1])
    return found


def text(times):
    """The least and the median, in milliseconds."""
    return f"{1000 * min(times):,.1f} / {1000 * np.median(times):,.1f}" if times else ""


def ratio(other, ours):
    """How many times as fast ours is."""
    return f"{min(other) / min(ours):.2f}×" if other and ours else ""


def steps(found):
    """Return the table of training steps."""
    head = ["ms, least / median", "ours, JAX", "in `fit`", *PLAIN.values(), "as fast, in `fit`"]
    rows = [[*head, "TFLOP/s in `fit`", "of a product's"]]
    for stage, (title, batches) in STAGES.items():
        for at, batch in enumerate(batches):
            for precision in PRECISIONS:
                runs = {e: found[f"{stage} {e} {precision}"] or [] for e in ("jax", *PLAIN)}
                runs = {engine: one[at] for engine, one in runs.items() if at < len(one)}
                if precision == "float32":
                    check_losses({engine: one["loss"] for engine, one in runs.items()})
                ours, *others = (runs.get(engine, {}) for engine in ("jax", *PLAIN))
                times = [one.get("step") for one in others]
                row = [f"{title} {batch}, {precision}", text(ours.get("step"))]
                row += [text(ours.get("fit")), *map(text, times)]
                fast = ratio(times[0], ours.get("step")), ratio(times[0], ours.get("fit"))
                row += [", ".join(filter(None, fast)), "", ""]
                if ours and found[f"peak {precision}"]:
                    rate = ours["flops"] / min(ours["fit"])
                    part = rate / found[f"peak {precision}"]
                    row[-2:] = f"{rate / 1e12:,.1f}", f"{part:.0%}"
                rows.append(row)
    return markdown(rows)


def use(found):
    """Return the table of what a generator of the specified size does."""
    runs = [found[f"use {precision}"] or {} for precision in PRECISIONS]
    rows = [["ms, least / median", *PRECISIONS]]
    for name in {name: None for one in runs for name in one}:
        rows.append([name, *(text(one.get(name)) for one in runs)])
    peaks = [found[f"peak {precision}"] or 0 for precision in PRECISIONS]
    rows.append(["TFLOP/s of a large product", *(f"{peak / 1e12:,.0f}" for peak in peaks)])
    return markdown(rows)


def quantizers(found):
    """Return the table of quantizers."""
    rows = [["ms, least / median", "ours, JAX", "`vector-quantize-pytorch`", "as fast"]]
    for size in SIZES:
        ours, other = found[f"{size} jax"], found[f"{size} eager"]
        title = f"K {size}, 8,192 vectors of 64"
        rows.append([title, text(ours), text(other), ratio(other, ours)])
    return markdown(rows)


def rematerialization(found):
    """Return what a step takes that keeps what its gradient needs, or computes it again."""
    rows = [["a prior of 16 blocks", "kept: ms, MiB", "computed again", "ratios"]]
    for title in LONG_PRIORS:
        pair = [found[f"{title}, {way}"] for way in (False, True)]
        if all(pair):
            times = [1000 * min(one["times"]) for one in pair]
            memory = [one["bytes"] / 2**20 for one in pair]
            cells = [f"{t:,.1f}, {m:,.0f}" for t, m in zip(times, memory, strict=True)]
            ratios = f"{times[1] / times[0]:.2f}, {memory[1] / memory[0]:.2f}"
            rows.append([title, *cells, ratios])
    return markdown(rows)


TABLES = (steps, use, quantizers, rematerialization)


def main():
    """Measure, print the tables, and write them where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=float, default=600, help="seconds that all may warm up")
    parser.add_argument("--out", type=Path, help="JSON file of what was measured, kept or read")
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the tables")
    options = parser.parse_args()
    if options.out and options.out.exists():
        found = json.loads(options.out.read_text())
    elif shutil.which("nvidia-smi") is None:
        parser.error("no GPU of NVIDIA is here")
    else:
        with tempfile.TemporaryDirectory() as folder:
            found = measure(tasks(folder), options.limit)
        if options.out:
            options.out.write_text(json.dumps(found))
    for table in TABLES:
        print(table.__name__, made := table(found), sep="\n\n", end="\n\n")
        if options.write:
            write_block(options.write, made, f"gpu {table.__name__}")


if __name__ == "__main__":
    main()
