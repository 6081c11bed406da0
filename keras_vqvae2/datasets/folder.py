"""A folder of picture files as a dataset."""

import functools
from pathlib import Path

import numpy as np

from keras_vqvae2.datasets.decoding import SUFFIXES, picture_header, read_picture
from keras_vqvae2.datasets.image_data import ImageData, LazyImages
from keras_vqvae2.datasets.splits import SPLITS, check_split, split_of


def load_folder(directory, split, image_size=None):
    """Load a split of the pictures in a folder; each is decoded when it is asked for.

    Pictures in sub-folders have the sub-folder's name for a label. Sub-folders named `train`,
    `validation` (or `val`) and `test` are the splits, with class sub-folders inside or without;
    where there are none, a hash of each file's path within the folder decides its split.

    Greyscale only if all pictures are; else RGB. Transparent parts become white.

    Args:
        directory: path of the folder.
        split: `"train"`, `"validation"` or `"test"`.
        image_size: `(H, W)` to centre-crop and resize to; None if all pictures have one size.

    Returns:
        `ImageData` with `LazyImages`.

    Raises:
        ValueError: if there is no such folder or split, it holds no picture, a file is corrupt, or
            sizes differ without `image_size`.
    """
    check_split(split)
    root = Path(directory)
    if not root.is_dir():
        raise ValueError(f"`data_dir` must be a folder of images. Received: {str(directory)!r}")
    splits = _split_pictures(root)
    if split not in splits:
        raise ValueError(
            f"`split` must be one that {root} has: {', '.join(splits)}. Received: split={split!r}"
        )
    paths, classes = splits[split]
    if not paths:
        counts = ", ".join(f"{len(found)} for {name}" for name, (found, _) in splits.items())
        raise ValueError(
            f"`split` must name a split with images. Received: split={split!r}, and {root} has "
            f"{counts}"
        )
    # Of all splits, so that each has the same shape and the same numbers for its classes.
    image_shape = _common_shape(
        [path for found, _ in splits.values() for path in found], image_size
    )
    label_names = sorted({name for _, names in splits.values() for name in names})
    decode = functools.partial(read_picture, channels=image_shape[2], image_size=image_size)
    return ImageData(
        images=LazyImages(paths, decode, image_shape),
        labels=np.array([label_names.index(name) for name in classes]) if label_names else None,
        label_names=tuple(label_names) or None,
        name=root.resolve().name,
        split=split,
    )


def _split_pictures(root):
    """The pictures of each split, and their classes: `{split: (paths, class names)}`."""
    folders = {
        "validation" if path.name == "val" else path.name: path
        for path in sorted(root.iterdir())
        if path.is_dir() and not path.name.startswith(".")
    }
    if folders and set(folders) <= set(SPLITS):
        return {split: _find_pictures(folders[split]) for split in SPLITS if split in folders}
    paths, classes = _find_pictures(root)
    owners = [split_of(path.relative_to(root).as_posix()) for path in paths]
    splits = {}
    for split in SPLITS:
        rows = [row for row, owner in enumerate(owners) if owner == split]
        splits[split] = ([paths[row] for row in rows], [classes[row] for row in rows if classes])
    return splits


def _find_pictures(folder):
    """All pictures below a folder in the order of their names, and their classes if any."""
    files = (path.relative_to(folder) for path in folder.rglob("*"))
    found = sorted(
        path.as_posix()
        for path in files
        if path.suffix.lower() in SUFFIXES and not any(p.startswith(".") for p in path.parts)
    )
    classes = [path.split("/")[0] for path in found if "/" in path]
    if classes and len(classes) != len(found):
        loose = next(path for path in found if "/" not in path)
        raise ValueError(
            f"The images of {folder} must lie in class sub-folders all or none. Received: "
            f"{loose} beside the folder {classes[0]}"
        )
    return [folder / path for path in found], classes


def _common_shape(paths, image_size):
    """The shape `(H, W, C)` that all pictures have, or will have once resized."""
    headers = [picture_header(path) for path in paths]
    channels = max(header[1] for header in headers)
    if image_size is not None:
        return (*image_size, channels)
    sizes = [header[0] for header in headers]
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            raise ValueError(
                "`image_size=(H, W)` must be given where images differ in size; it centre-crops "
                f"and resizes them. Received: image_size=None, {paths[0]} of {sizes[0]} and {path} "
                f"of {size}"
            )
    return (*sizes[0], channels)
