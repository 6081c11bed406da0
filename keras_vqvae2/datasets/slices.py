"""Slices of splits in the syntax of TensorFlow Datasets: `train[:4000]`, `train[10%:]+test`."""

import dataclasses
import re

import numpy as np

_BOUND = r"(-?\d[\d_]*(?:\.\d+)?)(%?)"
_SLICE = re.compile(rf"([\w-]+)(?:\[(?:{_BOUND})?:(?:{_BOUND})?\])?")


@dataclasses.dataclass(frozen=True)
class Slice:
    """A part of a split.

    Attributes:
        split: the split's name.
        start: first image, or the percentage before it; from the end if negative. None for 0.
        stop: image after the last, or the percentage up to it; None for all.
        percent: whether the bounds are percentages.
    """

    split: str
    start: float | None = None
    stop: float | None = None
    percent: bool = False

    @property
    def is_whole(self):
        """Whether it is the split itself."""
        return self.start is None and self.stop is None

    def rows(self, places):
        """Return which images the slice holds, an int array of indices in ascending order.

        Args:
            places: int array `[N]`, where each image stands when a percentage is taken, see
                `spread`; their own indices where they lie in no order.
        """
        count = len(places)
        if self.percent:
            bounds = [b if b is None else round(b * count / 100) for b in (self.start, self.stop)]
            start, stop, _ = slice(*bounds).indices(count)
            return np.flatnonzero((places >= start) & (places < stop))
        return np.arange(count)[self.start : self.stop]


def parse_slices(split):
    """Return the slices that the text of an argument `split` joins by `+`.

    Args:
        split: string.

    Returns:
        A list of `Slice`.

    Raises:
        ValueError: if the text follows another syntax.

    Example:

    >>> [(part.split, part.start, part.stop) for part in parse_slices("train[10%:] + test")]
    [('train', 10.0, None), ('test', None, None)]
    """
    return [_parse(text.strip(), split) for text in split.split("+")]


def _parse(text, split):
    found = _SLICE.fullmatch(re.sub(r"\s*([\[:\]])\s*", r"\1", text))
    name, *bounds = found.groups() if found else (None, None, None, None, None)
    values = [None if value is None else float(value) for value in bounds[::2]]
    units = {unit for value, unit in zip(values, bounds[1::2], strict=True) if value is not None}
    percent = units == {"%"}
    fits = not percent or all(value is None or abs(value) <= 100 for value in values)
    whole = percent or all(value is None or value.is_integer() for value in values)
    empty = "[" in text and not units
    if name is None or len(units) > 1 or not fits or not whole or empty:
        raise ValueError(
            "`split` must be the name of a split, a slice of it in images or in percent, as "
            "'train[:4000]', 'train[-10%:]' or 'train[10%:20%]', or several of these joined by "
            f"'+'. Received: split={split!r}"
        )
    if not percent:
        values = [None if value is None else int(value) for value in values]
    return Slice(name, *values, percent)


def spread(labels, groups=None):
    """Return the place of each image in an order in which any stretch holds a share of each class.

    Images that come class by class would give a class away with the last percents of them.

    Args:
        labels: int array `[N]`.
        groups: sequence `[N]`; images of one group have one place, that of the first, so that a
            share holds all of them or none. None for a group an image.

    Returns:
        int array `[N]`, values in `[0, N)`.

    Example:

    >>> spread(np.array([0, 0, 1, 1])).tolist()
    [0, 2, 1, 3]
    """
    labels = np.asarray(labels)
    within = np.empty(len(labels))  # how far through its class an image stands, in (0, 1)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        within[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    places = np.empty(len(labels), int)
    places[np.argsort(within, kind="stable")] = np.arange(len(labels))
    if groups is not None:
        _, first, group = np.unique(groups, return_index=True, return_inverse=True)
        places = places[first[group]]
    return places
