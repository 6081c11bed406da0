"""The Noto Emoji at 32 pixels, embedded in the package."""

from pathlib import Path

import numpy as np

from keras_vqvae2.datasets.image_data import ImageData
from keras_vqvae2.datasets.splits import check_split, split_of

FILE = Path(__file__).with_name("emoji32.npz")


def load_emoji32(split):
    """Load a split of the embedded emoji: 3,781 in all, 32x32x3 on white, in 9 classes.

    The skin tones of one person are one group, and a group lies in one split as a whole: else the
    test images would be training images in another colour.

    Args:
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        `ImageData` in memory.
    """
    check_split(split)
    with np.load(FILE) as file:
        groups = file["groups"]
        rows = np.array([split_of(f"emoji32/{group}") == split for group in groups])
        return ImageData.from_arrays(
            file["images"][rows],
            file["labels"][rows],
            label_names=file["label_names"],
            name="emoji32",
            split=split,
        )
