"""Time the cached sampler against the plain one, at the size of the specification.

    python benchmarks/sampling.py                            # print the tables
    python benchmarks/sampling.py --write docs/sampling.md   # put them there, and the plot beside

Times are the best of a few runs; a ratio is of two times of the same run of this script. Where the
plain sampler would take minutes, a few of its positions are timed and the rest is extrapolated:
each position costs it the same. Takes about 10 minutes on two cores.
"""

import argparse
import functools
import json
import math
import platform
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
from tables import best, markdown_of, write_block

from keras_vqvae2.models import VQVAE2, HierarchicalPrior, ImageGenerator, PixelCNN

# Of the specification: 64 samples in 45.3 s; milliseconds a sample of each part; 3 GB at the peak.
SPECIFIED_MS = {"encoder": 5, "decoder": 5, "top prior": 2000, "bottom prior": 8000, "whole": 10000}


def first_and_best(function, runs=5):
    """Return the time of the first call, which compiles, and the best of some later ones."""
    return best(function, 1), best(function, runs)


def matmul_peak(size=2048):
    """Return the rate of a large float32 matrix product, in floating-point operations a second."""
    x = keras.random.normal((size, size), seed=0)
    return 2 * size**3 / best(lambda: np.asarray(keras.ops.matmul(x, x)), 15)


def operations(prior):
    """Return the floating-point operations of one position, by unmasked taps alone."""
    masked = [prior.get_layer("input_conv")]
    dense = [prior.get_layer("hidden"), prior.get_layer("to_logits")]
    for index in range(prior.num_blocks):
        block = prior.get_layer(f"block_{index}")
        masked.append(block.masked_conv)
        dense += [block.reduce, block.expand] + ([block.project] if block.project else [])
    return 2 * sum(math.prod(layer.kernel.shape) for layer in masked + dense)


def plain_time(prior, batch, context, positions):
    """Return the time of the plain sampler, extrapolated from some of its positions."""
    codes = np.zeros((batch, *prior.code_shape), "int32")
    inputs = {"codes": codes} if context is None else {"codes": codes, "context": context}
    prior.log_prob(codes, context=context, batch_size=batch)  # compiles the parallel pass
    one = best(lambda: prior._log_prob(inputs), positions)
    return one * math.prod(prior.code_shape)


def specified_prior(side):
    """Return the bottom prior of the specification, for a square grid."""
    keras.utils.set_random_seed(0)
    return PixelCNN((side, side), context_shape=(side // 2, side // 2))


def random_context(prior, batch):
    """Return codes of the coarser level, drawn at random."""
    shape = (batch, *prior.context_shape)
    return np.random.default_rng(0).integers(0, prior.context_num_embeddings, shape)


def against_the_oracle(report):
    """Compare at 8x8: the same codes, and how much faster."""
    prior = specified_prior(8)
    rows = []
    for batch in (1, 7, 16, 64):
        context = random_context(prior, batch)
        cached = functools.partial(prior.sample, batch, context=context, seed=0)
        plain = functools.partial(cached, cached=False)
        first, seconds = first_and_best(cached, 7)
        codes = cached()
        oracle = plain()
        slow = best(plain, 1 if batch == 64 else 3)
        rate = operations(prior) * 64 * batch / seconds
        rows.append(
            {
                "batch": batch,
                "cached s": round(seconds, 3),
                "plain s": round(slow, 2),
                "ratio": round(slow / seconds, 1),
                "codes equal": f"{np.mean(codes == oracle):.2%}",
                "of matmul peak": f"{rate / report['peak']:.0%}",
                "first call s": round(first, 1),
            }
        )
    return rows


def grids(report):
    """Compare at wider grids, at batch 16; the plain sampler is extrapolated."""
    rows = []
    for side in (4, 8, 16, 32):
        prior = specified_prior(side)
        context = random_context(prior, 16)
        cached = functools.partial(prior.sample, 16, context=context, seed=0)
        first, seconds = first_and_best(cached, 3)
        slow = plain_time(prior, 16, context, positions=5)
        rows.append(
            {
                "grid": f"{side}x{side}",
                "positions": side * side,
                "cached s": round(seconds, 3),
                "ms a position": round(1000 * seconds / side**2, 2),
                "plain s, extrapolated": round(slow, 1),
                "ratio": round(slow / seconds, 1),
                "first call s": round(first, 1),
            }
        )
    return rows


def whole_images(report):
    """Time each part of the specified model, and whole images."""
    keras.utils.set_random_seed(0)
    vqvae = VQVAE2()
    priors = HierarchicalPrior.from_vqvae(vqvae)
    model = ImageGenerator(vqvae, priors)
    images = np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3), dtype="uint8")
    codes = vqvae.encode(images)
    top, bottom = priors.level_priors
    parts = {
        "encoder": (vqvae.encoder.count_params(), lambda n: vqvae.encode(images[:n])),
        "decoder": (
            vqvae.decoder.count_params(),
            lambda n: vqvae.decode([level[:n] for level in codes]),
        ),
        "top prior": (top.count_params(), lambda n: top.sample(n, seed=0)),
        "bottom prior": (
            bottom.count_params(),
            lambda n: bottom.sample(n, context=codes[0][:n], seed=0),
        ),
        "whole": (model.count_params(), lambda n: model.generate(n, seed=0)),
    }
    rows = []
    for name, (parameters, function) in parts.items():
        first, one = first_and_best(lambda f=function: f(1))
        _, all_ = first_and_best(lambda f=function: f(64))
        rows.append(
            {
                "part": name,
                "stored parameters": f"{parameters / 1e6:.2f} M",
                "specified ms": SPECIFIED_MS[name],
                "ms, one sample": round(1000 * one, 1),
                "ms a sample, of 64": round(1000 * all_ / 64, 2),
                "first call s": round(first, 1),
            }
        )
    report["64 images s"] = all_
    return rows


def peak_memory(side, batch):
    """Return the peak resident memory of sampling in a process of its own, in MiB."""
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import sampling; "
    code += f"sampling.print_memory({side}, {batch})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    return json.loads(result.stdout.splitlines()[-1])


def print_memory(side, batch):
    """Sample once, and print the peak resident memory before and after, in MiB (Linux)."""
    model = VQVAE2((side * 4, side * 4, 3))
    generator = ImageGenerator(model, HierarchicalPrior.from_vqvae(model))
    before = resident_peak()
    generator.generate(batch, seed=0)
    print(json.dumps([before, resident_peak()]))


def resident_peak():
    """Return the peak resident memory of this process in MiB.

    Not `getrusage`: a child process begins with the peak of its parent there.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


def memory(report):
    """Measure the peak memory of generating whole images."""
    rows = []
    for side, batch in ((8, 1), (8, 64), (16, 64), (32, 64)):
        before, peak = peak_memory(side, batch)
        image = f"{side * 4}x{side * 4}"
        grid = f"{side // 2}x{side // 2}, {side}x{side}"
        rows.append(
            {"image": image, "grids": grid, "batch": batch, "model MiB": before, "peak MiB": peak}
        )
    return rows


def plot(rows, file):
    """Draw time against the number of positions, both samplers."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    x = [row["positions"] for row in rows]
    for key, label in (("plain s, extrapolated", "plain (extrapolated)"), ("cached s", "cached")):
        axes.loglog(x, [row[key] for row in rows], "o-", label=label)
    linear = [rows[0]["cached s"] * positions / x[0] for positions in x]
    axes.loglog(x, linear, "k:", label="linear")
    axes.set_xlabel("positions of the grid")
    axes.set_ylabel("seconds for 16 samples")
    axes.set_xticks(x, [row["grid"] for row in rows])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=120)


def main():
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the tables")
    write = parser.parse_args().write
    report = {"peak": matmul_peak()}
    tables = {
        "At 8x8 against the plain sampler": against_the_oracle(report),
        "Wider grids, batch 16": grids(report),
        "Beside the specification": whole_images(report),
        "Memory of generation": memory(report),
    }
    report["peak"] = max(report["peak"], matmul_peak())
    machine = (
        f"{keras.backend.backend()} backend of Keras {keras.__version__}, {platform.machine()}, "
        f"matrix products at {report['peak'] / 1e9:.0f} GFLOP/s; 64 whole images in "
        f"{report['64 images s']:.2f} s."
    )
    parts = [machine, *(f"### {name}\n\n{markdown_of(rows)}" for name, rows in tables.items())]
    text = "\n\n".join(parts)
    print(text)
    if write is not None:
        write_block(write, text)
        plot(tables["Wider grids, batch 16"], write.parent / "images" / "sampling.png")


if __name__ == "__main__":
    main()
