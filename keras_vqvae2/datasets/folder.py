"""A folder of picture files as a dataset."""

import concurrent.futures
import functools
import os
import warnings
from pathlib import Path

import numpy as np

from keras_vqvae2 import checks
from keras_vqvae2.datasets.decoding import DamagedPicture, picture_header, read_picture
from keras_vqvae2.datasets.folder_layout import arrange
from keras_vqvae2.datasets.image_data import ImageData, LazyImages
from keras_vqvae2.datasets.picture_index import PictureIndex
from keras_vqvae2.datasets.picture_tree import walk_pictures
from keras_vqvae2.datasets.slices import spread
from keras_vqvae2.datasets.splits import check_split


def load_folder(directory, split, image_size=None, skip_damaged=False, workers=None):
    """Load a split of the pictures in a folder; each is decoded when it is asked for.

    Pictures in sub-folders have the sub-folder's name for a label; of folders within a class all
    pictures belong to it. Sub-folders named `train`, `validation` and `test`, or as people write
    these (`Training`, `val`, `dev`, `test_set`), are the splits, with class sub-folders inside or
    without; where there are none, a hash of each file's path within the folder decides its split.
    What would be a guess is refused: splits beside classes or below them, a split named twice, or
    with other classes than another.

    Every format that pillow decodes is read, of several frames the first. Links are followed;
    hidden files and folders are not. A warning says what was left out: files of other suffixes,
    broken links, class folders without pictures.

    Greyscale only if all pictures are; else RGB. Transparent parts become white.

    Args:
        directory: path of the folder.
        split: `"train"`, `"validation"` or `"test"`.
        image_size: `(H, W)` to centre-crop and resize to; None if all pictures have one size.
        skip_damaged: whether damaged files are left out, with a warning that lists them, rather
            than refused. Every picture of the folder is decoded once to find them.
        workers: threads that decode pictures side by side; None for the cores of the machine.

    Returns:
        `ImageData` with `LazyImages`.

    Raises:
        ValueError: if there is no such folder or split, it holds no picture, a file is damaged,
            sizes differ without `image_size`, or what the sub-folders mean is not clear. Damage
            behind the header of a file is found when the picture is asked for.
    """
    check_split(split)
    workers = os.cpu_count() or 1 if workers is None else checks.positive_int("workers", workers)
    root = Path(directory)
    if not root.is_dir():
        raise ValueError(f"`data_dir` must be a folder of images. Received: {str(directory)!r}")
    tree = walk_pictures(root)
    splits = arrange(root, tree)
    if split not in splits:
        raise ValueError(
            f"`split` must be one that {root} has, or a part of one such as 'train[-10%:]': "
            f"{', '.join(splits)}. Received: split={split!r}"
        )
    label_names = sorted({name for files in splits.values() for name in files.classes or ()})
    _tell(root, tree, splits)
    # Of all splits, so that each has the same shape and the same numbers for its classes.
    headers = _read_headers(root, tree.pictures, skip_damaged, workers)
    files = splits[split]
    rows = [row for row, path in enumerate(files.pictures) if path in headers]
    if not rows:
        counts = ", ".join(
            f"{sum(path in headers for path in found.pictures)} for {name}"
            for name, found in splits.items()
        )
        raise ValueError(
            f"`split` must name a split with images. Received: split={split!r}, and {root} has "
            f"{counts}"
        )
    image_shape = _common_shape(root, headers, image_size)
    labels = None
    if files.classes:
        numbers = {name: number for number, name in enumerate(label_names)}
        labels = np.array([numbers[files.classes[row]] for row in rows])
    decode = functools.partial(read_picture, channels=image_shape[2], image_size=image_size)
    paths = [f"{root}{os.sep}{files.pictures[row]}" for row in rows]
    return ImageData(
        images=LazyImages(paths, decode, image_shape, workers),
        labels=labels,
        label_names=None if labels is None else tuple(label_names),
        name=root.resolve().name,
        split=split,
        places=None if labels is None else spread(labels),
    )


def _read_headers(root, pictures, skip_damaged, workers):
    """The size and channels of each picture, `{path: header}`, without those that are skipped."""
    index = PictureIndex(root, pictures)
    known = index.headers(decoded=skip_damaged)

    def read(path):
        try:
            return picture_header(os.path.join(root, path), decode=skip_damaged)
        except DamagedPicture as error:
            if skip_damaged:
                return error
            raise

    unknown = [path for path in pictures if path not in known]
    # Pillow decodes outside the interpreter's lock.
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        known.update(zip(unknown, pool.map(read, unknown), strict=True))
    found = {path: known[path] for path in pictures} if unknown else known
    headers = {k: header for k, header in found.items() if not isinstance(header, DamagedPicture)}
    index.keep(headers, decoded=skip_damaged)
    damaged = [str(error) for error in found.values() if isinstance(error, DamagedPicture)]
    if damaged:
        warnings.warn(
            f"Left out of the {len(pictures)} pictures in {root} are {len(damaged)} that are "
            "damaged:\n" + "\n".join(damaged),
            stacklevel=5,
        )
    return headers


def _tell(root, tree, splits):
    """Warn of what looks as if it were meant and is not used."""
    told = [
        f"{count} {'file' if count == 1 else 'files'} "
        f"{f'with the suffix {suffix}' if suffix else 'without a suffix'}"
        for suffix, count in tree.left_out.most_common()
    ]
    if tree.broken_links:
        told.append(f"links that lead nowhere, {', '.join(tree.broken_links)}")
    empty = {split: files.empty for split, files in splits.items() if files.classes and files.empty}
    if empty:
        names = sorted({name for names in empty.values() for name in names})
        told.append(f"class folders without pictures, {', '.join(names)} of {', '.join(empty)}")
    if told:
        warnings.warn(f"Left out of {root}: {'; '.join(told)}.", stacklevel=5)


def _common_shape(root, headers, image_size):
    """The shape `(H, W, C)` that all pictures have, or will have once resized."""
    channels = max(channels for _, channels in headers.values())
    if image_size is not None:
        return (*image_size, channels)
    first, (size, _) = next(iter(headers.items()))
    for path, (other, _) in headers.items():
        if other != size:
            raise ValueError(
                "`image_size=(H, W)` must be given where images differ in size; it centre-crops "
                f"and resizes them. Received: image_size=None, {root / first} of {size} and "
                f"{root / path} of {other}"
            )
    return (*size, channels)
