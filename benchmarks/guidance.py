"""Measure what guidance costs: samples with and without it, in Python and from a SavedModel.

    python benchmarks/guidance.py --filters 128 --blocks 6

A model by class of the given size with `label_dropout`, and the same one without: untrained, since
the weights do not matter for the time. Prints a Markdown table of the least processor-bound times
of some calls, taking turns.
"""

import argparse
import functools
import itertools
import tempfile
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tables import markdown

from keras_vqvae2 import VQVAE2, HierarchicalPrior, ImageGenerator

RUNS = 5
BATCHES = (1, 16, 64)


def build(filters, blocks, label_dropout):
    """Return a generator of ten classes at the specification's grids."""
    keras.utils.set_random_seed(0)
    vqvae = VQVAE2(filters=filters)
    options = {"filters": filters, "num_blocks": blocks, "num_classes": 10}
    prior = HierarchicalPrior.from_vqvae(vqvae, label_dropout=label_dropout, **options)
    return ImageGenerator(vqvae, prior)


def served(model, folder, name):
    """Export a model; return a function `(batch, guidance) -> images` of its `sample`."""
    path = Path(folder) / name
    model.export(path)
    sample = tf.saved_model.load(str(path)).signatures["sample"]

    def call(batch, guidance):
        inputs = {
            "seed": tf.range(batch, dtype="int64"),
            "labels": tf.zeros(batch, "int32"),
            "temperature": tf.ones(batch),
            "top_k": tf.zeros(batch, "int32"),
            "top_p": tf.ones(batch),
        }
        if "guidance" in sample.structured_input_signature[1]:
            inputs["guidance"] = tf.fill([batch], guidance)
        return sample(**inputs)["images"].numpy()

    return call


def least(functions):
    """Return the shortest time of each function, in turns, in seconds."""
    times = [np.inf] * len(functions)
    for turn in range(RUNS + 1):
        for index, function in enumerate(functions):
            begin = time.perf_counter()
            function()
            if turn:  # The first one traces.
                times[index] = min(times[index], time.perf_counter() - begin)
    return times


def main():
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--filters", type=int, default=256)
    parser.add_argument("--blocks", type=int, default=16)
    arguments = parser.parse_args()
    size = (arguments.filters, arguments.blocks)
    plain, guided = (build(*size, label_dropout) for label_dropout in (0.0, 0.1))
    with tempfile.TemporaryDirectory() as folder:
        plain_server = served(plain, folder, "plain")
        server = served(guided, folder, "guided")
        ways = {
            "generate": (
                lambda batch: plain.generate(batch, 0, seed=0),
                lambda batch: guided.generate(batch, 0, seed=0),
                lambda batch: guided.generate(batch, 0, seed=0, guidance=3.0),
            ),
            "SavedModel": (
                lambda batch: plain_server(batch, 1.0),
                lambda batch: server(batch, 1.0),
                lambda batch: server(batch, 3.0),
            ),
        }
        rows = [("batch", "way", "without label_dropout", "guidance 1", "guidance 3", "ratio")]
        for batch, (way, functions) in itertools.product(BATCHES, ways.items()):
            times = least([functools.partial(function, batch) for function in functions])
            cells = [f"{1000 * seconds:.0f} ms" for seconds in times]
            rows.append((batch, way, *cells, f"{times[2] / times[1]:.2f}"))
            print(rows[-1], flush=True)
    print(markdown(rows))


if __name__ == "__main__":
    main()
