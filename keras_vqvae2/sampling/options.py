"""How codes are drawn: the options of a sampling, each written here alone."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Rule:
    """What the values of an option must be.

    Attributes:
        dtype: name of their dtype.
        text: the rule in words, for messages.
        holds: callable that tells of an array, or a tensor, which of its values follow the rule.
        neutral: the value that leaves the distribution as it is.
    """

    dtype: str
    text: str
    holds: Callable[[Any], Any]
    neutral: float


def _positive(value):
    # Smaller ones are flushed to zero on the way.
    return (value >= np.finfo("float32").tiny) & (value <= np.finfo("float32").max)


RULES = {
    "temperature": Rule("float32", "positive and finite", _positive, 1.0),
    "top_k": Rule("int32", "at least 0", lambda value: value >= 0, 0),
    "top_p": Rule("float32", "in (0, 1]", lambda value: (value > 0) & (value <= 1), 1.0),
}


@dataclasses.dataclass(frozen=True)
class SamplingOptions:
    """How the distribution of each code is changed before one is drawn.

    Wherever a method takes `**options` of a sampling, it takes these by keyword. Each is one value,
    or one an image.

    Args:
        temperature: positive number: below 1 likelier codes, above 1 more varied ones.
        top_k: draw among the `top_k` likeliest codes only; 0 or None for all.
        top_p: draw among the likeliest codes that together reach this probability, in (0, 1]; None
            for all.

    Example:

    >>> SamplingOptions(temperature=0.9).rows(2)["temperature"].tolist()
    [0.8999999761581421, 0.8999999761581421]
    """

    temperature: Any = 1.0
    top_k: Any = None
    top_p: Any = None

    def rows(self, num_samples):
        """Return the options as arrays, one entry an image.

        Args:
            num_samples: `B`, how many images.

        Returns:
            Dictionary of arrays `[B]`, or None for an option that is off for all.

        Raises:
            ValueError: if an option is out of its range.
        """
        rows = {name: _row(name, getattr(self, name), num_samples) for name in RULES}
        if rows["top_k"] is not None and not rows["top_k"].any():
            rows["top_k"] = None  # Sorting takes longer than all the rest.
        return rows


def _row(name, value, num_samples):
    if value is None:
        return None
    rule = RULES[name]
    array = np.asarray(value)
    whole = rule.dtype == "int32"
    numeric = np.issubdtype(array.dtype, np.integer) or (
        not whole and np.issubdtype(array.dtype, np.floating)
    )
    if (
        array.shape not in ((), (num_samples,))
        or not numeric
        or not np.all(rule.holds(array.astype(rule.dtype)))
    ):
        kind = "an integer" if whole else "a number"
        raise ValueError(
            f"`{name}` must be {kind} {rule.text}, or {num_samples} of them, one an image. "
            f"Received: {name}={value!r}"
        )
    return np.broadcast_to(array.astype(rule.dtype), (num_samples,))
