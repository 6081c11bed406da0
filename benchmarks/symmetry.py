"""Measure the Nyquist ratio of a preset's reconstructions by how symmetric the originals are.

    python benchmarks/symmetry.py emoji32 --write docs/quality.md

Of an image that is its own mirror image, columns that alternate cancel: the two halves of the row
count them with opposite signs. So its Nyquist ratio is next to nothing, and that of any
reconstruction that is not as symmetric is a multiple of it, with dots or without. The test images
are sorted by their mean squared difference from their mirror image, on [-1, 1], and judged in
quarters. "Of rows alone" is the power at the Nyquist frequency of rows over that one step lower,
both one step below that of columns: left and right do not enter there.
"""

import argparse
from pathlib import Path

import numpy as np
from tables import markdown_of, write_block

import keras_vqvae2 as kv
from keras_vqvae2.evaluation import nyquist_ratio

QUARTERS = ("the most symmetric quarter", "the second", "the third", "the least symmetric")


def row_ratio(images):
    """Return how much stronger images alternate from row to row than just below that."""
    power = np.square(np.abs(np.fft.fft2(np.asarray(images, "float64"), axes=(1, 2))))
    row, column = (size // 2 for size in images.shape[1:3])
    at, below = (power[:, one, column - 1].mean() for one in (row, row - 1))
    return at / below


def row(title, images, reconstructions, asymmetry):
    """A row of the table."""
    cells = {"test images": title}
    cells["squared difference from the mirror image"] = f"{asymmetry.mean():.3f}"
    for name, ratio in (("Nyquist ratio", nyquist_ratio), ("of rows alone", row_ratio)):
        original, reconstructed = ratio(images), ratio(reconstructions)
        cells[f"{name}: originals, reconstructions"] = f"{original:.2f}, {reconstructed:.2f}"
        cells[f"{name}, of originals'"] = f"{reconstructed / original:.2f}"
    return cells


def main():
    """Judge the reconstructions, print the table, and write it where asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(kv.VQVAE2.presets))
    parser.add_argument("--model", help="file of another VQ-VAE-2 or generator than the preset")
    parser.add_argument("--data-dir", type=Path, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--write", type=Path, help="Markdown file with the markers of the table")
    arguments = parser.parse_args()
    test = kv.datasets.load(arguments.name, "test", data_dir=arguments.data_dir)
    images = test.images[:].astype("float32")
    vqvae = kv.VQVAE2.from_preset(arguments.model or arguments.name)
    decoded = vqvae.decode(vqvae.encode(images))
    asymmetry = np.square((images - images[:, :, ::-1]) / 127.5).mean((1, 2, 3))
    quarters = np.array_split(np.argsort(asymmetry, kind="stable"), len(QUARTERS))
    parts = dict(zip(QUARTERS, quarters, strict=True))
    parts["all but the first quarter"] = np.concatenate(quarters[1:])
    parts["all"] = np.concatenate(quarters)
    measured = images, decoded, asymmetry
    text = markdown_of([row(title, *(x[part] for x in measured)) for title, part in parts.items()])
    print(text)
    if arguments.write:
        write_block(arguments.write, text, f"symmetry {arguments.name}")


if __name__ == "__main__":
    main()
