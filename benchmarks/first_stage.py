"""Measure what decides the first stage: how decoders end, and how codebooks come alive.

    python benchmarks/first_stage.py heads --steps 600
    python benchmarks/first_stage.py codebooks --steps 50 200 300 500 1200
    python benchmarks/first_stage.py codebooks --steps 300 1200 10000 --filters 16

Both on the embedded emoji, on batches of 64, with the learning rate 1e-3 and one seed. Prints a
Markdown table. `heads` takes turns between the kinds for the time of a step, which is processor
time: other work on the machine does not count.
"""

import argparse
import itertools
import time

import keras
import numpy as np
from tables import markdown

from keras_vqvae2 import datasets
from keras_vqvae2.evaluation import nyquist_ratio
from keras_vqvae2.layers import UPSAMPLING
from keras_vqvae2.models import VQVAE2

BATCH_SIZE = 64
TIMED_STEPS = 10
HEADS = {kind: {"upsampling": kind} for kind in UPSAMPLING}
HEADS["nearest, cut at white"] = {"upsampling": "nearest", "clipping": "hard"}
SIZES = {
    "tiny": {"filters": 16, "num_residual_blocks": 1, "embedding_dim": 8, "num_embeddings": 32},
    "small": {"filters": 64, "embedding_dim": 32, "num_embeddings": 128},
    "base": {"filters": 256, "embedding_dim": 64, "num_embeddings": 512},
}


def build(**options):
    """Return a compiled model with the same first weights each time."""
    keras.utils.set_random_seed(0)
    model = VQVAE2((32, 32, 3), **options)
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def train(model, images, start, stop):
    """Train on steps `start` to `stop` of a stream whose order is always the same."""
    epoch = len(images) // BATCH_SIZE
    for step in range(start, stop):
        order = np.random.default_rng(step // epoch).permutation(len(images))
        place = step % epoch * BATCH_SIZE
        model.train_on_batch(images[order[place : place + BATCH_SIZE]])


def step_seconds(models, images):
    """Return the processor time of a step of each model, the least of some, in turns."""
    best = dict.fromkeys(models, np.inf)
    for turn in range(TIMED_STEPS + 2):
        for name, model in models.items():
            begin = time.process_time()
            model.train_on_batch(images[:BATCH_SIZE])
            if turn > 1:  # The first ones trace.
                best[name] = min(best[name], time.process_time() - begin)
    return best


def measure_heads(train_images, test_images, steps):
    """Print a table of sizes, ways to upsample and what happens at white."""
    rows = [("size", "upsampling", "decoder parameters", "CPU ms a step", "MSE", "Nyquist ratio")]
    for size, options in SIZES.items():
        models = {kind: build(**head, **options) for kind, head in HEADS.items()}
        seconds = step_seconds(models, train_images)
        for kind, model in models.items():
            parameters, milliseconds = model.decoder.count_params(), 1000 * seconds[kind]
            quality = ("", "")
            if size != "base":
                model = build(**HEADS[kind], **options)
                train(model, train_images, 0, steps)
                pixels = model.decode(model.encode(test_images))
                error = np.mean(np.square((pixels - test_images) / 127.5))
                quality = f"{error:.4f}", f"{nyquist_ratio(pixels):.2f}"
            rows.append((size, kind, f"{parameters:,}", f"{milliseconds:.0f}", *quality))
            print(rows[-1], flush=True)
    rows.append(("", "originals", "", "", "", f"{nyquist_ratio(test_images):.2f}"))
    print(markdown(rows))


def measure_codebooks(train_images, test_images, steps, filters):
    """Print a table of usage and error after some steps, at the specification's codebooks."""
    rows = [("codebooks", "steps", "top in use", "bottom in use", "MSE")]
    for kind in ("young at first", "grown from the start"):
        model = build(filters=filters, embedding_dim=64, num_embeddings=512, clipping="hard")
        train(model, train_images, 0, 1)
        if kind == "grown from the start":
            for quantizer in model.quantizers:
                quantizer.maturity.assign(1.0)
        for start, stop in itertools.pairwise([1, *steps]):
            train(model, train_images, start, stop)
            logs = model.evaluate(test_images, verbose=0, return_dict=True)
            usage = [f"{logs[f'{level}_usage']:.0%}" for level in model.level_names]
            rows.append((kind, stop, *usage, f"{logs['reconstruction_mse']:.4f}"))
            print(rows[-1], flush=True)
    print(markdown(rows))


def main():
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("heads", "codebooks"))
    parser.add_argument("--steps", type=int, nargs="+", default=[600])
    parser.add_argument("--filters", type=int, default=64, help="of `codebooks`")
    arguments = parser.parse_args()
    train_images = datasets.load("emoji32", "train").images
    test_images = datasets.load("emoji32", "validation").images[:512]
    if arguments.what == "heads":
        measure_heads(train_images, test_images, arguments.steps[-1])
    else:
        measure_codebooks(train_images, test_images, arguments.steps, arguments.filters)


if __name__ == "__main__":
    main()
