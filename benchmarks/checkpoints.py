"""Measure what checkpoints within an epoch cost a training.

    python benchmarks/checkpoints.py --pairs 5

Trains a model of stage 1 on the embedded emoji, in turns with a checkpoint each 100 steps and with
one at the end alone. Prints the ratios of processor time and of time on the clock: of each pair,
and as a Markdown table the median of all pairs.
"""

import argparse
import statistics
import tempfile
import time

import keras
import numpy as np
from tables import markdown

from keras_vqvae2 import datasets
from keras_vqvae2.callbacks import Checkpoints
from keras_vqvae2.cli.config import Config
from keras_vqvae2.models import VQVAE2


def train(model, batches, callbacks):
    """Return the seconds of the processor and of the clock that an epoch takes."""
    begin = time.process_time(), time.perf_counter()
    model.fit(batches, callbacks=callbacks, verbose=0)
    return time.process_time() - begin[0], time.perf_counter() - begin[1]


def measure(pairs, steps, every, size):
    """Print a table of the ratios."""
    config = Config.create(size)
    model = VQVAE2((32, 32, 3), **config.vqvae)
    model.compile(keras.optimizers.Adam(1e-3))
    images = datasets.load("emoji32", "train").images
    images = np.resize(images, (steps * config.batch_size, *images.shape[1:]))
    batches = datasets.ImageBatches(images, config.batch_size)
    train(model, datasets.ImageBatches(images[:64], 64), ())  # traces
    ratios = []
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            seconds = [
                train(model, batches, [Checkpoints(f"{folder}/{each}", steps=each)])
                for each in (every, None)
            ]
        ratios.append([one / other for one, other in zip(*seconds, strict=True)])
        print(*(f"{ratio:.4f}" for ratio in ratios[-1]), flush=True)
    cpu, wall = (statistics.median(kind) for kind in zip(*ratios, strict=True))
    print(
        markdown(
            [
                ("size", "backend", "steps", "checkpoints", "CPU", "clock"),
                (
                    *(size, keras.backend.backend(), steps, f"each {every}"),
                    *(f"{100 * (ratio - 1):+.1f} %" for ratio in (cpu, wall)),
                ),
            ]
        )
    )


def main():
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300, help="of each training")
    parser.add_argument("--every", type=int, default=100, help="steps to a checkpoint")
    parser.add_argument("--size", default="small", help="tiny, small or base")
    arguments = parser.parse_args()
    measure(arguments.pairs, arguments.steps, arguments.every, arguments.size)


if __name__ == "__main__":
    main()
