"""How codes are drawn: the options of a sampling, each written here alone."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_vqvae2 import checks

FLOAT_MAX = float(np.finfo("float32").max)


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
    return (value >= np.finfo("float32").tiny) & (value <= FLOAT_MAX)


RULES = {
    "temperature": Rule("float32", "positive and finite", _positive, 1.0),
    "top_k": Rule("int32", "at least 0", lambda value: value >= 0, 0),
    "top_p": Rule("float32", "in (0, 1]", lambda value: (value > 0) & (value <= 1), 1.0),
    "guidance": Rule(
        "float32", "at least 0 and finite", lambda v: (v >= 0) & (v <= FLOAT_MAX), 1.0
    ),
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
        guidance: of a prior trained with `label_dropout`: how far the class is to be seen. The
            logits are `u + guidance * (c - u)`, of those with the class `c` and without one `u`: 1
            leaves them as they are, 0 forgets the class, 2 to 4 make it clearer and images less
            varied. A tuple or list has one a level, coarse to fine. It takes twice the time.

    Reference:
        Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1, for
        top-p; Ho and Salimans 2022, "Classifier-Free Diffusion Guidance", equation 6, for guidance.

    Example:

    >>> SamplingOptions(temperature=0.9).rows(2)["temperature"].tolist()
    [0.8999999761581421, 0.8999999761581421]
    """

    temperature: Any = 1.0
    top_k: Any = None
    top_p: Any = None
    guidance: Any = 1.0

    def rows(self, num_samples, num_levels=1):
        """Return the options as arrays, one entry an image.

        Args:
            num_samples: `B`, how many images.
            num_levels: `L`, how many levels of codes an image has.

        Returns:
            Dictionary of arrays `[B]`, or None for an option that is off for all; `"guidance"` a
            tuple of them, one a level.

        Raises:
            ValueError: if an option is out of its range.
        """
        levels = checks.per_level("guidance", self.guidance, num_levels)
        rows = {
            name: _row(name, getattr(self, name), num_samples)
            for name in RULES
            if name != "guidance"
        }
        rows["guidance"] = tuple(_row("guidance", level, num_samples) for level in levels)
        if all(level is None or (level == 1).all() for level in rows["guidance"]):
            rows["guidance"] = None
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
