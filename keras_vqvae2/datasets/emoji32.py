"""The Noto Emoji at 32 pixels, embedded in the package."""

from pathlib import Path

import numpy as np

from keras_vqvae2.datasets.image_data import ImageData
from keras_vqvae2.datasets.slices import spread
from keras_vqvae2.datasets.splits import check_split, split_of

FILE = Path(__file__).with_name("emoji32.npz")


def load_emoji32(split):
    """Load a split of the embedded emoji: 3,781 in all, 32x32x3 on white, in 9 classes.

    The skin tones of one person are one group, and a group lies in one split as a whole, as do
    groups that share a picture, such as the flags of France and Saint Martin: else test images
    would be training images, in another colour or the same. So does a percentage of a split, such
    as `"train[90%:]"`: it holds a group as a whole or not at all, and its share of each class.

    Args:
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        `ImageData` in memory.
    """
    check_split(split)
    with np.load(FILE) as file:
        images = file["images"]
        owners = _owners(images, file["groups"])
        rows = np.array([split_of(f"emoji32/{owner}") == split for owner in owners])
        labels = file["labels"][rows]
        return ImageData(
            images[rows],
            labels,
            label_names=tuple(str(name) for name in file["label_names"]),
            name="emoji32",
            split=split,
            places=spread(labels, np.array(owners)[rows]),
        )


def _owners(images, groups):
    """For each image the group that decides its split: the first that shares a picture with its."""
    first = {}
    owner = {}
    for image, group in zip(images, groups.tolist(), strict=True):
        twin = first.setdefault(image.tobytes(), group)
        owner[group] = min(owner.get(group, group), twin)
    return [owner[group] for group in groups.tolist()]
