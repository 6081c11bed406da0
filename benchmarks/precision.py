"""Train both stages for 500 steps in each precision, on the embedded emoji, and compare.

    python benchmarks/precision.py                             # print the table
    python benchmarks/precision.py --write docs/scaling.md     # put it there

Takes minutes on a CPU, which computes 16 bits more slowly than 32.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from tables import markdown, write_block

from keras_vqvae2 import datasets
from keras_vqvae2.models import VQVAE2, HierarchicalPrior

STEPS = 500
BATCH_SIZE = 32
POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")


def train(model, data, validation):
    """Train for the number of steps; return whether all losses were finite, and the last logs."""
    losses = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: losses.append(logs))
    model.compile(keras.optimizers.Adam(1e-3))
    # One epoch, so that the metrics of every step are seen.
    rows = np.random.default_rng(0).integers(0, len(data[0]), STEPS * BATCH_SIZE)
    data = tuple(level[rows] for level in data)
    options = {"batch_size": BATCH_SIZE, "shuffle": False, "verbose": 0, "callbacks": [watch]}
    model.fit(data if len(data) > 1 else data[0], **options)
    assert len(losses) == STEPS
    finite = all(np.isfinite(list(map(float, logs.values()))).all() for logs in losses)
    return finite, model.evaluate(validation, batch_size=100, verbose=0, return_dict=True)


def compare():
    """Return the rows of the table: of each precision, what both stages come to."""
    images, validation = (datasets.load("emoji32", split).images for split in ("train", "test"))
    rows = [("precision", "all finite", "reconstruction MSE", "bits a code")]
    codes = None
    for policy in POLICIES:
        keras.utils.set_random_seed(0)
        sizes = {"filters": 16, "num_residual_blocks": 1, "embedding_dim": 8, "num_embeddings": 32}
        vqvae = VQVAE2(images.shape[1:], dtype=policy, **sizes)
        priors = HierarchicalPrior.from_vqvae(vqvae, filters=16, num_blocks=2, dtype=policy)
        finite, logs = train(vqvae, (images,), validation)
        # All priors learn the codes of the first.
        codes = codes or (vqvae.encode(images), vqvae.encode(validation))
        finite_prior, prior_logs = train(priors, codes[0], codes[1])
        values = logs["reconstruction_mse"], prior_logs["bits_per_code"]
        finite = "yes" if finite and finite_prior else "no"
        rows.append((policy, finite, f"{values[0]:.4f}", f"{values[1]:.3f}"))
        print(*rows[-1], flush=True)
    return rows


def main():
    """Compare, print, and write where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the table")
    write = parser.parse_args().write
    rows = compare()
    text = markdown(rows)
    print(text)
    if write is not None:
        write_block(write, text, "precision")


if __name__ == "__main__":
    main()
