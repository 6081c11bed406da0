"""One door to every dataset: embedded, on disk, of TensorFlow Datasets, or in memory."""

import functools
import os

import numpy as np

from keras_vqvae2 import checks
from keras_vqvae2.datasets.emoji32 import load_emoji32
from keras_vqvae2.datasets.fashion_mnist import load_fashion_mnist
from keras_vqvae2.datasets.folder import load_folder
from keras_vqvae2.datasets.image_data import as_image_data, join
from keras_vqvae2.datasets.slices import parse_slices
from keras_vqvae2.datasets.tfds import load_tfds


def load(
    name,
    split="train",
    *,
    data_dir=None,
    image_size=None,
    image_key=None,
    label_key=None,
    skip_damaged=False,
    workers=None,
):
    """Load a split of a dataset by its name.

    | name | what it is | splits |
    |---|---|---|
    | `"emoji32"` | 9,723 emoji, 32x32x3, embedded in the package | by person or thing |
    | `"fashion_mnist"` | IDX files in `data_dir`, else a download; padded to 32x32x1 | its own |
    | `"folder"`, or a path | the pictures in `data_dir`, or in it | sub-folders, or by a hash |
    | any other | that dataset of TensorFlow Datasets | its own |
    | an array, or `(images, labels)` | `ImageData.from_arrays` of it | `"train"` |

    A slice may follow the name of a split, in images or in percent, and several may be joined, as
    TensorFlow Datasets has it: `"train[:4000]"`, `"train[-10%:]"`, `"train[80%:]+test"`. Of the
    emoji and of a folder, which lie class by class, a percentage is taken of each class, so that
    `"train[:90%]"` and `"train[90%:]"` share no image and lack no class.

    Args:
        name: see the table.
        split: `"train"`, `"validation"` or `"test"`, of TensorFlow Datasets what the dataset has;
            slices of them.
        data_dir: folder where the dataset lies, or where TensorFlow Datasets keeps it.
        image_size: `(H, W)` to centre-crop and resize to, for a folder or TensorFlow Datasets.
        image_key: name of the image in an example of TensorFlow Datasets; None for the dataset's
            own input, else `"image"`.
        label_key: name of the label, an integer, in such an example; None for the dataset's own
            target, else `"label"`. Of the emoji `"kind"`, the default, `"group"` or `"style"`.
        skip_damaged: of a folder, whether damaged pictures are left out, with a warning that lists
            them, rather than refused.
        workers: of a folder, how many threads decode pictures side by side; None for the cores of
            the machine. The images are the same, in the same order.

    Returns:
        `ImageData`.

    Raises:
        ValueError: if the dataset, the split or a file is unknown, corrupt or empty.

    Example:

    >>> data = load("emoji32", "validation")
    >>> data.image_shape, data.num_classes
    ((32, 32, 3), 34)
    """
    if not isinstance(split, str):
        raise ValueError(f"`split` must be a string. Received: split={split!r}")
    options = {
        "image_size": image_size,
        "image_key": image_key,
        "label_key": label_key,
        "skip_damaged": skip_damaged or None,
        "workers": workers,
    }
    given = {option: value for option, value in options.items() if value is not None}
    if image_size is not None:
        given["image_size"] = _image_size(image_size)
    if not isinstance(name, (str, os.PathLike)):
        _check_options(given, (), "arrays")
        load_split = functools.partial(_arrays, name, split)
    elif name == "emoji32":
        _check_options(given, ("label_key",), "emoji32, whose images are 32x32")
        load_split = functools.partial(load_emoji32, **given)
    elif name == "fashion_mnist":
        _check_options(given, (), "fashion_mnist, whose images are 32x32")
        load_split = functools.partial(load_fashion_mnist, data_dir=data_dir)
    elif name == "folder" or isinstance(name, os.PathLike) or os.path.isdir(name):
        _check_options(given, ("image_size", "skip_damaged", "workers"), "a folder")
        folder = data_dir if name == "folder" else name
        if folder is None:
            raise ValueError("`data_dir` must name the folder of images. Received: data_dir=None")
        load_split = functools.partial(load_folder, folder, **given)
    else:
        _check_options(given, ("image_size", "image_key", "label_key"), "TensorFlow Datasets")
        return load_tfds(name, split, data_dir, **given)
    return _parts(load_split, split)


def _arrays(arrays, whole, split):
    if split != "train":
        raise ValueError(f"`split` must be 'train' for arrays. Received: split={whole!r}")
    return as_image_data(arrays)


def _parts(load_split, split):
    """The images of the slices that `split` joins."""
    slices = parse_slices(split)
    wholes = {}
    for part in slices:  # in no comprehension: warnings name the line that called `load`
        if part.split not in wholes:
            wholes[part.split] = load_split(part.split)
    if len(slices) == 1 and slices[0].is_whole:
        return wholes[split.strip()]
    parts = []
    for part in slices:
        whole = wholes[part.split]
        rows = part.rows(np.arange(len(whole)) if whole.places is None else whole.places)
        if len(rows):
            parts.append(whole.take(rows))
    if not parts:
        raise ValueError(f"`split` must hold at least one image. Received: split={split!r}")
    return join(parts, "".join(split.split()))


def _check_options(given, taken, source):
    for option, value in given.items():
        if option not in taken:
            default = False if option == "skip_damaged" else None
            raise ValueError(
                f"`{option}` must be {default} for {source}. Received: {option}={value!r}"
            )


def _image_size(image_size):
    if not isinstance(image_size, (tuple, list)) or len(image_size) != 2:
        raise ValueError(f"`image_size` must be a pair (H, W). Received: image_size={image_size!r}")
    return tuple(checks.positive_int("image_size", size) for size in image_size)
