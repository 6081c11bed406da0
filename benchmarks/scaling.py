"""Plan ImageNet at 256x256 with three levels, from what is counted and measured.

    python benchmarks/scaling.py                             # print the plan
    python benchmarks/scaling.py --write docs/scaling.md     # put it there
    python benchmarks/scaling.py --peak 400 --fraction 0.4 --sampling-fraction 0.1
    python benchmarks/scaling.py --trial 200000 --write docs/scaling.md

Parameters, memory and operations are those of `keras-vqvae2 info`. The fractions of the device's
peak are measured here, at the specified size, unless they are given. Takes about two minutes.

The trial extracts the codes of so many images, and of a quarter as many, by two processes, of which
one is killed and started again on the way, and reads them back as stage 2 does.
"""

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from tables import best, markdown, markdown_of, write_block

from keras_vqvae2.datasets import CodeBatches, CodeManifest, ImageData, LazyImages, extract_codes
from keras_vqvae2.evaluation.cost import forward_flops, training_bytes, training_flops
from keras_vqvae2.models import VQVAE2, HierarchicalPrior, PixelCNN

IMAGES = 1_281_167  # training images of ImageNet-1k
IMAGE_SHAPE = (256, 256, 3)
DEVICES = 8
BATCH = {"stage 1, the VQ-VAE-2": 32, "stage 2, the prior": 16}  # a device
EPOCHS = {"stage 1, the VQ-VAE-2": 100, "stage 2, the prior": 100}
SHARD_SIZE = 16_384
CODE_BYTES = 2  # uint16: up to 65,536 codes
RATE = 1000  # images a second to serve
TRIAL_SHARD_SIZE = 4096


def peak_rate():
    """Return the rate of a large float32 product or convolution, whichever is faster.

    In operations a second; those of a convolution as `info` counts them: oneDNN may need fewer.
    """
    size = 2048
    x = keras.random.normal((size, size), seed=0)
    images = keras.random.normal((16, 32, 32, 256), seed=0)
    kernel = keras.random.normal((3, 3, 256, 256), seed=0)
    return max(
        2 * size**3 / best(lambda: np.asarray(keras.ops.matmul(x, x)), 10),
        2
        * 16
        * 32**2
        * 9
        * 256**2
        / best(lambda: np.asarray(keras.ops.conv(images, kernel, padding="same")), 10),
    )


def fit_rate(model, data, batch_size):
    """Return the operations a second that `fit` reaches, its input pipeline included."""
    model.compile("adam")
    model.fit(data, batch_size=batch_size, verbose=0)
    steps = len(keras.tree.flatten(data)[0]) // batch_size
    seconds = best(lambda: model.fit(data, batch_size=batch_size, verbose=0), 2) / steps
    return training_flops(model, batch_size) / seconds


def measure():
    """Return the fractions of the peak of both stages and of sampling, at the specified size."""
    rng = np.random.default_rng(0)
    vqvae = VQVAE2()
    images = rng.integers(0, 256, (64, 32, 32, 3), dtype="uint8")
    peaks, rates = [peak_rate()], [fit_rate(vqvae, images, 16)]
    peaks.append(peak_rate())
    priors = HierarchicalPrior.from_vqvae(vqvae)
    rates.append(fit_rate(priors, vqvae.encode(images), 16))
    peaks.append(peak_rate())
    prior = PixelCNN((8, 8))
    prior.sample(16, seed=0)
    rates.append(16 * forward_flops(prior) / best(lambda: prior.sample(16, seed=0), 5))
    # Other work on the machine can only hide a peak.
    peak = max(*peaks, peak_rate())
    return [rate / peak for rate in rates]


def plan(peak, fractions):
    """Return the rows of the plan: what, and how much.

    Args:
        peak: of a device, operations a second.
        fractions: of it that both stages and sampling reach.
    """
    vqvae = VQVAE2(IMAGE_SHAPE, num_levels=3)
    priors = HierarchicalPrior.from_vqvae(vqvae)
    grids = ", ".join(f"{h}×{w}" for h, w in vqvae.code_shapes)
    rows = [("grids of codes", grids)]
    stages = zip(BATCH, (vqvae, priors), fractions, strict=False)
    for name, model, fraction in stages:
        batch = BATCH[name]
        flops = training_flops(model, batch)
        hours = EPOCHS[name] * IMAGES / batch * flops / (peak * fraction * DEVICES) / 3600
        rows += [
            (f"{name}: parameters", f"{model.count_params() / 1e6:.1f} M"),
            (
                f"{name}: memory a device, {batch} images, float32",
                f"{training_bytes(model, batch) / 2**30:.1f} GiB",
            ),
            (f"{name}: operations a step and device", f"{flops / 1e12:.1f} TFLOP"),
            (f"{name}: {EPOCHS[name]} epochs on {DEVICES} devices", f"{hours:,.1f} hours"),
        ]
    codes = sum(h * w for h, w in vqvae.code_shapes)
    one_pass = IMAGES * codes * CODE_BYTES
    encode = IMAGES * forward_flops(vqvae.encoder) / (peak * fractions[0] * DEVICES) / 60
    image = forward_flops(priors) + forward_flops(vqvae.decoder)
    return [
        *rows,
        ("codes of one pass", f"{one_pass / 1e9:.1f} GB in {-(-IMAGES // SHARD_SIZE)} shards"),
        ("extraction of one pass", f"{encode:,.1f} minutes on {DEVICES} devices"),
        ("operations to generate an image", f"{image / 1e12:.2f} TFLOP"),
        (
            f"devices that serve {RATE} images a second",
            f"{RATE * image / (peak * fractions[2]):,.2f}",
        ),
    ]


def noise(index):
    """Return an image that depends on its number alone: a data set that is never in memory."""
    return np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype="uint8")


def resident_peak():
    """Return the peak resident memory of this process in MiB (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024


def extract(folder, count, index):
    """Extract one of two parts; print the seconds and the peak memory."""
    keras.utils.set_random_seed(0)
    vqvae = VQVAE2((32, 32, 3), filters=16, embedding_dim=8, num_embeddings=32)
    data = ImageData(LazyImages(range(count), noise, (32, 32, 3)))
    start = time.perf_counter()
    extract_codes(vqvae, data, folder, shard_size=TRIAL_SHARD_SIZE, part=(index, 2))
    print(json.dumps([time.perf_counter() - start, resident_peak()]))


def read(folder):
    """Read an epoch in random order; print codes a second and the peak memory."""
    batches = CodeBatches(folder, 256, shuffle=True)
    start = time.perf_counter()
    codes = sum(
        level.size for batch in map(batches.__getitem__, range(len(batches))) for level in batch[0]
    )
    print(json.dumps([codes / (time.perf_counter() - start), resident_peak()]))


def trial(count):
    """Return a row: an extraction by two processes with a kill, and an epoch over its codes."""
    with tempfile.TemporaryDirectory() as folder:

        def run(*arguments):
            command = [sys.executable, __file__, "--part", json.dumps([folder, *arguments])]
            return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

        def result(process):
            output, _ = process.communicate(timeout=1800)
            return json.loads(output.splitlines()[-1])

        workers = [run(count, index) for index in range(2)]
        while not (Path(folder) / "shard-00003").exists():  # the second of worker 1
            time.sleep(0.05)
        workers[1].kill()
        workers[1].wait()
        workers[1] = run(count, 1)
        extracted = [result(worker) for worker in workers]
        manifest = CodeManifest.load(folder)
        if not manifest.complete:
            raise RuntimeError("The manifest is not complete.")
        rate, memory = result(run())
        return {
            "images": f"{count:,}",
            "shards": manifest.num_shards,
            "extraction s": f"{max(seconds for seconds, _ in extracted):.0f}",
            "peak MiB of the workers": ", ".join(str(peak) for _, peak in extracted),
            "codes read a second": f"{rate:,.0f}",
            "peak MiB of reading": memory,
        }


def main():
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the tables")
    parser.add_argument("--peak", type=float, default=312.0, help="of a device, TFLOP/s")
    parser.add_argument("--fraction", type=float, help="of the peak, in training")
    parser.add_argument("--sampling-fraction", type=float, help="of the peak, in sampling")
    parser.add_argument("--trial", type=int, help="extract the codes of so many images instead")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        folder, *part = json.loads(options.part)
        extract(folder, *part) if part else read(folder)
        return
    if options.trial:
        rows = [trial(count) for count in (options.trial // 4, options.trial)]
        name, text = "trial", markdown_of(rows)
    else:
        name, text = "plan", plan_text(options)
    print(text)
    if options.write is not None:
        write_block(options.write, text, name)


def plan_text(options):
    """Return the plan, and what its fractions of the peak are."""
    fractions = (options.fraction, options.fraction, options.sampling_fraction)
    source = "given"
    if None in fractions:
        fractions = measure()
        backend = keras.backend.backend()
        source = f"measured in float32 on a CPU ({platform.machine()}), {backend} backend"
    train, prior, sampling = (f"{fraction:.0%}" for fraction in fractions)
    return (
        f"Fractions of the peak, {source}: stage 1 {train}, stage 2 {prior}, sampling {sampling}. "
        f"The device's peak is taken as {options.peak:.0f} TFLOP/s.\n\n"
        + markdown([("what", "how much"), *plan(options.peak * 1e12, fractions)])
    )


if __name__ == "__main__":
    main()
