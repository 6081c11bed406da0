"""Emoji of four styles at 32 pixels, embedded in the package."""

from pathlib import Path

import numpy as np
from PIL import Image

from keras_vqvae2 import checks
from keras_vqvae2.datasets.image_data import ImageData
from keras_vqvae2.datasets.slices import spread
from keras_vqvae2.datasets.splits import check_split

FOLDER = Path(__file__).with_name("emoji")
# A sheet of each, `FOLDER/STYLE.webp`, lossless, with so many images in a row.
STYLES = ("noto", "twemoji", "fluent_3d", "fluent_flat")
COLUMNS = 8
SIZE = 32
# Each kind, with the group of Unicode that it belongs to.
KINDS = {
    "air or water vehicle": "Travel & Places",
    "animal face": "Smileys & Emotion",
    "arrow": "Symbols",
    "bird": "Animals & Nature",
    "body part": "People & Body",
    "bug": "Animals & Nature",
    "building": "Travel & Places",
    "clock": "Travel & Places",
    "clothing": "Objects",
    "device": "Objects",
    "dish": "Food & Drink",
    "drink": "Food & Drink",
    "emotion": "Smileys & Emotion",
    "face": "Smileys & Emotion",
    "family": "People & Body",
    "flag": "Flags",
    "fruit or vegetable": "Food & Drink",
    "hand": "People & Body",
    "heart": "Smileys & Emotion",
    "land vehicle": "Travel & Places",
    "mammal": "Animals & Nature",
    "music or sound": "Objects",
    "paper": "Objects",
    "person": "People & Body",
    "person in action": "People & Body",
    "person symbol": "People & Body",
    "place": "Travel & Places",
    "plant": "Animals & Nature",
    "sea or reptile": "Animals & Nature",
    "shape": "Symbols",
    "sky": "Travel & Places",
    "sport or game": "Activities",
    "square sign": "Symbols",
    "tool": "Objects",
}
# Of ten glyphs of a kind, which are for what; all others are to learn from.
_TURNS = {2: "validation", 7: "test"}
# What the label of an image may be.
LABEL_KEYS = ("kind", "group", "style")


def load_emoji32(split, label_key=None):
    """Load a split of the embedded emoji: 9,723 in all, 32x32x3 on white, in 34 kinds.

    Noto, Twemoji, Fluent 3D and Fluent flat draw the same glyphs. All images of a glyph, in every
    style and skin tone, lie in one split, as do glyphs that share a picture, such as the flags of
    France and Saint Martin: else test images would be training images, in another colour or the
    same. So does a percentage of a split, such as `"train[90%:]"`: it holds a glyph as a whole or
    not at all, and its share of each kind.

    Args:
        split: `"train"`, `"validation"` or `"test"`.
        label_key: what the labels tell apart: `"kind"`, the 34, which is the default; `"group"`,
            the nine groups of Unicode; or `"style"`, the four.

    Returns:
        `ImageData` in memory.

    Raises:
        ValueError: if the split or the key is not known.
    """
    check_split(split)
    label_key = checks.one_of("label_key", label_key or "kind", LABEL_KEYS)
    images, glyphs, kinds, styles = read_sheets()
    owners = _owners(images, glyphs)
    order = np.argsort(owners, kind="stable")  # a glyph in all its styles, then the next
    rows = order[_splits(owners, kinds)[order] == split]
    labels, names = _labels(label_key, kinds, styles)
    return ImageData(
        images[rows],
        labels[rows],
        label_names=names,
        name="emoji32",
        split=split,
        places=spread(kinds[rows], owners[rows]),
    )


def read_sheets():
    """Read all images.

    Returns:
        `(images, glyphs, kinds, styles)`: uint8 `[N, 32, 32, 3]`, and of each image the number of
        its glyph, which is the same in all styles, and its places in `KINDS` and `STYLES`, int
        `[N]`.
    """
    images, glyphs, kinds, styles = [], [], [], []
    with np.load(FOLDER / "index.npz") as index:
        for style, name in enumerate(STYLES):
            glyphs.append(index[f"{name}_glyphs"])
            kinds.append(index[f"{name}_kinds"])
            styles.append(np.full(len(glyphs[-1]), style))
            images.append(_cut(FOLDER / f"{name}.webp")[: len(glyphs[-1])])
    return [np.concatenate(parts) for parts in (images, glyphs, kinds, styles)]


def _cut(path):
    """The images of a sheet, row by row: uint8 `[N, 32, 32, 3]`."""
    with Image.open(path) as picture:
        sheet = np.asarray(picture.convert("RGB"))
    rows = sheet.reshape(-1, SIZE, COLUMNS, SIZE, 3).swapaxes(1, 2)
    return rows.reshape(-1, SIZE, SIZE, 3)


def _labels(label_key, kinds, styles):
    """The labels of images, and their names."""
    if label_key == "style":
        return styles, STYLES
    if label_key == "kind":
        return kinds, tuple(KINDS)
    groups = sorted(set(KINDS.values()))
    return np.array([groups.index(group) for group in KINDS.values()])[kinds], tuple(groups)


def _owners(images, glyphs):
    """For each image the glyph that decides its split: one of all that share a picture."""
    first, joined = {}, {}

    def owner(glyph):
        while glyph in joined:
            glyph = joined[glyph]
        return glyph

    for image, glyph in zip(images, glyphs.tolist(), strict=True):
        one, other = owner(first.setdefault(image.tobytes(), glyph)), owner(glyph)
        if one != other:
            joined[max(one, other)] = min(one, other)
    return np.array([owner(glyph) for glyph in glyphs.tolist()])


def _splits(owners, kinds):
    """The split of each image: of ten glyphs of a kind one is for validation and one for the test.

    By turns, not by chance, which would leave a rare kind out.
    """
    splits = {}
    for kind in range(len(KINDS)):
        own = [owner for owner in np.unique(owners[kinds == kind]) if owner not in splits]
        splits |= {owner: _TURNS.get(turn % 10, "train") for turn, owner in enumerate(own)}
    return np.array([splits[owner] for owner in owners])
