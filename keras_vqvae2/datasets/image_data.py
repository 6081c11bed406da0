"""A set of images in memory or on disk, with labels or without."""

import concurrent.futures
import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_vqvae2 import checks

_IMAGES_OF_A_TASK = 4  # A thread's way to each is longer than a small picture takes.


@functools.lru_cache(maxsize=4)
def _threads(workers, process):
    """Threads that decode, of this process: those of the one that it was forked from are gone."""
    del process
    return concurrent.futures.ThreadPoolExecutor(workers, "decode")


class LazyImages:
    """Images that are decoded each time they are asked for; indexed as an array `[N, H, W, C]` is.

    Threads decode the images of one access side by side. The images are the same, in the same
    order, however many they are.

    Args:
        items: what is kept of each image, such as its path.
        decode: function of an item that returns a uint8 array.
        image_shape: `(H, W, C)` of every image.
        workers: threads that decode at a time, of a `decode` that may run in several.

    Raises:
        ValueError: on access, if an image has another shape or dtype.

    Example:

    >>> images = LazyImages([3, 5], lambda value: np.full((8, 8, 1), value, "uint8"), (8, 8, 1))
    >>> images.shape, images[1].shape, images[np.array([1, 0, 1])].shape
    ((2, 8, 8, 1), (8, 8, 1), (3, 8, 8, 1))
    """

    dtype = np.dtype("uint8")

    def __init__(
        self,
        items: Sequence[Any],
        decode: Callable[[Any], np.ndarray],
        image_shape: tuple[int, int, int],
        workers: int = 1,
    ):
        self.items = items
        self.decode = decode
        self.workers = checks.positive_int("workers", workers)
        self.shape = (len(items), *checks.sizes("image_shape", image_shape, "HWC"))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        positions = range(len(self))
        if isinstance(index, slice):
            chosen = list(positions[index])
        elif np.ndim(index) == 0:
            return self._decode(positions[index])
        else:
            chosen = [positions[i] for i in index]
        images = np.empty((len(chosen), *self.shape[1:]), self.dtype)

        def fill(start):
            for row in range(start, min(start + _IMAGES_OF_A_TASK, len(chosen))):
                images[row] = self._decode(chosen[row])

        starts = range(0, len(chosen), _IMAGES_OF_A_TASK)
        if self.workers == 1 or len(starts) <= 1:
            done = map(fill, starts)
        else:
            done = _threads(self.workers, os.getpid()).map(fill, starts)
        for _ in done:  # raises what a task has raised
            pass
        return images

    def take(self, rows):
        """Return some of the images, decoded no sooner, as `LazyImages`."""
        if isinstance(self.items, list):
            items = [self.items[row] for row in rows]
            return LazyImages(items, self.decode, self.shape[1:], self.workers)
        # Access may decode the item.
        return LazyImages(rows, self._decode, self.shape[1:], self.workers)

    def _decode(self, position):
        image = self.decode(self.items[position])
        if image.shape != self.shape[1:] or image.dtype != self.dtype:
            item = self.items[position]
            of = f", {item}" if isinstance(item, (str, os.PathLike)) else ""
            raise ValueError(
                f"All images must be {self.dtype} of the shape {self.shape[1:]}; "
                "`image_size=(H, W)` crops and resizes them. "
                f"Received: {image.dtype} of shape {image.shape} at index {position}{of}"
            )
        return image


@dataclasses.dataclass(frozen=True, eq=False)
class ImageData:
    """Images with random access, their labels if they have any, and where they come from.

    Attributes:
        images: uint8 `[N, H, W, C]`, pixels in [0, 255]: an array, or `LazyImages`, which reads an
            image when it is asked for. `images[indices]` gives an array either way.
        labels: int32 `[N]`, or None.
        label_names: a name for each class, or None.
        name: of the dataset.
        split: of the dataset, or None if there are none.
        places: int `[N]`, where each image stands when `load` takes a percentage, see
            `slices.spread`; None for its index.

    Raises:
        ValueError: if the images are not uint8 `[N, H, W, C]` with `N` at least 1, or the labels
            do not fit them.
    """

    images: np.ndarray | LazyImages
    labels: np.ndarray | None = None
    label_names: tuple[str, ...] | None = None
    name: str = "array"
    split: str | None = None
    places: np.ndarray | None = None

    def __post_init__(self):
        shape = tuple(getattr(self.images, "shape", ()))
        if len(shape) != 4 or 0 in shape[1:]:
            raise ValueError(f"`images` must have the shape [N, H, W, C]. Received: shape={shape}")
        if shape[0] == 0:
            raise ValueError(f"`images` must hold at least one image. Received: shape={shape}")
        if self.images.dtype != np.uint8:
            raise ValueError(f"`images` must be uint8. Received: dtype={self.images.dtype}")
        if not isinstance(self.label_names, (tuple, list, type(None))):
            raise ValueError(
                "`label_names` must be a tuple of names, or None. "
                f"Received: label_names={self.label_names!r}"
            )
        if self.labels is not None:
            object.__setattr__(self, "labels", self._checked_labels())

    def _checked_labels(self):
        labels = np.asarray(self.labels)
        if labels.shape != (len(self),):
            raise ValueError(
                f"`labels` must be one integer an image, shape [{len(self)}]. "
                f"Received: shape={labels.shape}"
            )
        if not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"`labels` must be integers. Received: dtype={labels.dtype}")
        low, high = labels.min(), labels.max()
        bound = 2**31 if self.label_names is None else len(self.label_names)
        if not (low >= 0 and high < bound):
            raise ValueError(
                f"`labels` must lie in [0, {bound}). Received: values in [{low}, {high}]"
            )
        return labels.astype(np.int32)

    def __len__(self):
        return len(self.images)

    @property
    def image_shape(self):
        """The shape `(H, W, C)` of an image."""
        return tuple(self.images.shape[1:])

    @property
    def num_classes(self):
        """How many classes the labels tell apart; None without labels."""
        if self.label_names is not None:
            return len(self.label_names)
        return None if self.labels is None else int(self.labels.max()) + 1

    def part(self, start=None, stop=None):
        """Return a slice of the dataset; its split is named `"test[:4000]"` or the like.

        Args:
            start: index of the first image; None for 0.
            stop: index after the last image; None for the end.

        Returns:
            `ImageData`.

        Raises:
            ValueError: if the slice is empty.

        Example:

        >>> data = ImageData.from_arrays(np.zeros((4, 32, 32, 3), "uint8"), split="test")
        >>> len(data.part(1, 3)), data.part(stop=2).split
        (2, 'test[:2]')
        """
        bounds = ":".join("" if bound is None else str(bound) for bound in (start, stop))
        split = None if self.split is None else f"{self.split}[{bounds}]"
        return self.take(np.arange(len(self))[start:stop], split)

    def take(self, rows, split=None):
        """Return some of the images with their labels, as a dataset.

        Args:
            rows: int array of indices.
            split: what to call them.

        Returns:
            `ImageData`.

        Raises:
            ValueError: if there are no rows.

        Example:

        >>> data = ImageData.from_arrays(np.zeros((4, 32, 32, 3), "uint8"), labels=[0, 1, 2, 3])
        >>> data.take(np.array([3, 1])).labels.tolist()
        [3, 1]
        """
        images = self.images
        if isinstance(images, LazyImages):
            images = images.take(rows)
        elif len(rows) and (np.diff(rows) == 1).all():
            images = images[rows[0] : rows[-1] + 1]  # a view
        else:
            images = images[rows]
        labels = None if self.labels is None else self.labels[rows]
        return ImageData(images, labels, self.label_names, self.name, split)

    @classmethod
    def from_arrays(cls, images, labels=None, *, label_names=None, name="array", split=None):
        """Make a dataset of arrays.

        Args:
            images: array `[N, H, W, C]`, uint8 or float, pixels in [0, 255]. Floats are rounded.
            labels: integers `[N]`, or None.
            label_names: a name for each class, or None.
            name: of the dataset.
            split: of the dataset, or None.

        Returns:
            `ImageData`.

        Raises:
            ValueError: if the rank, dtype or range is another, the arrays are empty or their
                lengths differ.

        Example:

        >>> data = ImageData.from_arrays(np.zeros((4, 32, 32, 3), "uint8"), labels=[0, 1, 1, 0])
        >>> len(data), data.image_shape, data.num_classes
        (4, (32, 32, 3), 2)
        """
        array = np.asarray(images)
        if array.dtype != np.uint8:
            if not np.issubdtype(array.dtype, np.floating):
                raise ValueError(
                    "`images` must be uint8 or float pixels in [0, 255]. "
                    f"Received: dtype={array.dtype}"
                )
            checks.pixel_range(array, "images")
            array = np.rint(array).astype(np.uint8)
        names = None if label_names is None else tuple(str(label) for label in label_names)
        return cls(array, labels, names, name, split)


def join(parts, split):
    """Return several parts of one dataset as one, one after the other.

    Args:
        parts: sequence of `ImageData` of equal shape.
        split: what to call the whole.

    Raises:
        ValueError: if some have labels and some have none.
    """
    first = parts[0]
    if len({part.labels is None for part in parts}) > 1:
        raise ValueError(
            f"`split` must join splits that all have labels, or none. Received: split={split!r}"
        )
    labels = None if first.labels is None else np.concatenate([part.labels for part in parts])
    if isinstance(first.images, LazyImages):
        items = [item for part in parts for item in part.images.items]
        lazy = first.images
        images = LazyImages(items, lazy.decode, first.image_shape, lazy.workers)
    else:
        images = np.concatenate([x.images for x in parts]) if len(parts) > 1 else first.images
    return ImageData(images, labels, first.label_names, first.name, split)


def as_image_data(data):
    """Return `ImageData` as it is, an array or a pair `(images, labels)` as `ImageData`."""
    if isinstance(data, ImageData):
        return data
    if hasattr(data, "element_spec") or hasattr(data, "__next__"):
        raise ValueError(
            "`data` must be ImageData, as `load` gives it, an array, or a pair (images, labels); "
            "of an iterator or a tf.data.Dataset put the batches together first. "
            f"Received: a {type(data).__name__}"
        )
    if isinstance(data, tuple) and len(data) == 2:
        return ImageData.from_arrays(*data)
    return ImageData.from_arrays(data)
