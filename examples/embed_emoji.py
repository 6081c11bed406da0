"""Write the embedded emoji, `keras_vqvae2/datasets/emoji`, from arrays of all of them.

    python examples/embed_emoji.py emoji4_32.npz

The file holds `images` uint8 [N, 32, 32, 3], `labels` into `label_names`, the base glyph of each in
`groups`, and in `styles` numbers of `STYLES`. Of five skin tones two are kept, and of couples none
but the base: the tones are more than half of all images, and hardly more to learn from.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from keras_vqvae2.datasets.emoji32 import COLUMNS, FOLDER, KINDS, STYLES

# Of the images of a glyph: without a tone, medium-light, medium-dark; of couples, without a tone.
KEPT = {1: [0], 6: [0, 2, 4], 26: [0]}


def sheet(images):
    """The images in rows of `COLUMNS`, on white."""
    rows = -(-len(images) // COLUMNS)
    whole = np.full((rows * COLUMNS, *images.shape[1:]), 255, "uint8")
    whole[: len(images)] = images
    height, width, channels = images.shape[1:]
    whole = whole.reshape(rows, COLUMNS, height, width, channels).swapaxes(1, 2)
    return whole.reshape(rows * height, COLUMNS * width, channels)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("file", type=Path)
parser.add_argument("--out", type=Path, default=FOLDER)
arguments = parser.parse_args()

with np.load(arguments.file) as file:
    data = {name: file[name] for name in file.files}
assert tuple(data["label_names"]) == tuple(KINDS)
index = {}
for number, style in enumerate(STYLES):
    rows = np.flatnonzero(data["styles"] == number)
    glyphs = [rows[data["groups"][rows] == group] for group in np.unique(data["groups"][rows])]
    kept = np.concatenate([glyph[KEPT[len(glyph)]] for glyph in glyphs])
    picture = Image.fromarray(sheet(data["images"][kept]))
    picture.save(arguments.out / f"{style}.webp", lossless=True, quality=100, method=6)
    index[f"{style}_glyphs"] = data["groups"][kept].astype("uint16")
    index[f"{style}_kinds"] = data["labels"][kept].astype("uint8")
    print(f"{style}: {len(kept):,} images")
np.savez_compressed(arguments.out / "index.npz", **index)
