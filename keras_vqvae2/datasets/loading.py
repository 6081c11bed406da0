"""One door to every dataset: embedded, on disk, of TensorFlow Datasets, or in memory."""

import os
import re

from keras_vqvae2 import checks
from keras_vqvae2.datasets.emoji32 import load_emoji32
from keras_vqvae2.datasets.fashion_mnist import load_fashion_mnist
from keras_vqvae2.datasets.folder import load_folder
from keras_vqvae2.datasets.image_data import as_image_data
from keras_vqvae2.datasets.tfds import load_tfds


def load(name, split="train", *, data_dir=None, image_size=None):
    """Load a split of a dataset by its name.

    | name | what it is | splits |
    |---|---|---|
    | `"emoji32"` | 3,781 emoji, 32x32x3, embedded in the package | by person or thing |
    | `"fashion_mnist"` | IDX files in `data_dir`, else a download; padded to 32x32x1 | its own |
    | `"folder"`, or a path | the pictures in `data_dir`, or in it | sub-folders, or by a hash |
    | any other | that dataset of TensorFlow Datasets | its own, and slices of them |
    | an array, or `(images, labels)` | `ImageData.from_arrays` of it | none |

    Args:
        name: see the table.
        split: `"train"`, `"validation"` or `"test"`; of TensorFlow Datasets what the dataset has.
            Of the others too a slice may follow, as in `"test[:4000]"`.
        data_dir: folder where the dataset lies, or where TensorFlow Datasets keeps it.
        image_size: `(H, W)` to centre-crop and resize to, for a folder or TensorFlow Datasets.

    Returns:
        `ImageData`.

    Raises:
        ValueError: if the dataset, the split or a file is unknown, corrupt or empty.

    Example:

    >>> data = load("emoji32", "validation")
    >>> data.image_shape, data.num_classes
    ((32, 32, 3), 9)
    """
    if not isinstance(name, (str, os.PathLike)):
        if split != "train":
            raise ValueError(f"`split` must be 'train' for arrays. Received: split={split!r}")
        return as_image_data(name)
    if image_size is not None:
        image_size = _image_size(image_size, name)
    stored = name in ("emoji32", "fashion_mnist", "folder") or os.path.isdir(name)
    if stored and (part := re.fullmatch(r"(\w+)\[(\d*):(\d*)\]", split)):
        start, stop = (int(number) if number else None for number in part.groups()[1:])
        whole = load(name, part[1], data_dir=data_dir, image_size=image_size)
        return whole.part(start, stop)
    if name == "emoji32":
        return load_emoji32(split)
    if name == "fashion_mnist":
        return load_fashion_mnist(split, data_dir)
    if name == "folder":
        if data_dir is None:
            raise ValueError("`data_dir` must name the folder of images. Received: data_dir=None")
        return load_folder(data_dir, split, image_size)
    if isinstance(name, os.PathLike) or os.path.isdir(name):
        return load_folder(name, split, image_size)
    return load_tfds(name, split, data_dir, image_size)


def _image_size(image_size, name):
    if name in ("emoji32", "fashion_mnist"):
        raise ValueError(
            f"`image_size` must be None for {name}, whose images are 32x32. "
            f"Received: image_size={image_size!r}"
        )
    if not isinstance(image_size, (tuple, list)) or len(image_size) != 2:
        raise ValueError(f"`image_size` must be a pair (H, W). Received: image_size={image_size!r}")
    return tuple(checks.positive_int("image_size", size) for size in image_size)
