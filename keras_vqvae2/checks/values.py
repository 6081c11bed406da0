"""Checks of numbers, names and options."""

import numbers

import numpy as np


def positive_int(name, value):
    """Return `value` as an int of at least 1, or raise a ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"`{name}` must be an integer of at least 1. Received: {name}={value!r}")
    return int(value)


def non_negative_int(name, value):
    """Return `value` as an int of at least 0, or raise a ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(f"`{name}` must be an integer of at least 0. Received: {name}={value!r}")
    return int(value)


def even(name, value):
    """Return `value` as an even int of at least 2, or raise a ValueError that names it."""
    value = positive_int(name, value)
    if value % 2:
        raise ValueError(f"`{name}` must be even. Received: {name}={value}")
    return value


def one_of(name, value, choices):
    """Return `value` if it is one of the choices, or raise a ValueError that lists them."""
    if not isinstance(value, str) or value not in tuple(choices):
        known = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"`{name}` must be one of {known}. Received: {name}={value!r}")
    return value


def sizes(name, value, axes):
    """Return `value` as a tuple of positive ints, one an axis, or raise a ValueError.

    Args:
        name: the argument's name for messages.
        value: sequence of integers.
        axes: the axes' letters, two or three of them, such as `"HWC"`.
    """
    shape = tuple(value) if np.ndim(value) == 1 else ()
    whole = all(
        isinstance(size, (int, np.integer)) and not isinstance(size, bool) and size > 0
        for size in shape
    )
    if len(shape) != len(axes) or not whole:
        count = {2: "two", 3: "three"}[len(axes)]
        raise ValueError(
            f"`{name}` must be {count} positive integers ({', '.join(axes)}). "
            f"Received: {name}={value!r}"
        )
    return tuple(int(size) for size in shape)


def fraction(name, value, *, one=False):
    """Return `value` as a float in [0, 1), or in [0, 1] where `one` is True."""
    bound = "[0, 1]" if one else "[0, 1)"
    rule = f"lie in {bound}"
    return float(number(name, value, rule, lambda x: 0 <= x < 1 or (one and x == 1)))


def number(name, value, rule, holds):
    """Return `value` if it is a real number of a rule, or raise a ValueError that names it.

    Args:
        name: the argument's name for messages.
        value: what was received.
        rule: what it must do, for messages: "be positive".
        holds: callable that tells of a number whether it follows the rule.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not holds(value):
        raise ValueError(f"`{name}` must {rule}. Received: {name}={value!r}")
    return value


def instance(name, value, kind):
    """Return `value` if it is an instance of a class, or raise a ValueError that names both."""
    if not isinstance(value, kind):
        raise ValueError(f"`{name}` must be a {kind.__name__}. Received: {name}={value!r}")
    return value


def function_or_none(name, value):
    """Return `value` if it is callable or None, or raise a ValueError that names it."""
    if not (value is None or callable(value)):
        raise ValueError(f"`{name}` must be callable or None. Received: {name}={value!r}")
    return value


def options(name, value):
    """Return a dictionary of keyword arguments, empty for None, or raise a ValueError."""
    if not isinstance(value, (dict, type(None))):
        raise ValueError(f"`{name}` must be a dictionary or None. Received: {name}={value!r}")
    return dict(value or {})


def per_level(name, value, num_levels):
    """Return one value a level from one value for all, or from a sequence of them.

    Raises:
        ValueError: if a sequence has another length.
    """
    if not isinstance(value, (tuple, list)):
        return (value,) * num_levels
    if len(value) != num_levels:
        raise ValueError(
            f"`{name}` must be one value or {num_levels} of them, coarse to fine. "
            f"Received: {name}={value!r}"
        )
    return tuple(value)


def export_signature(input_signature):
    """Raise a ValueError for a signature that Keras's `export` takes and ours does not."""
    if input_signature is not None:
        raise ValueError(
            "`input_signature` must be left out: the exported signatures are the model's own. "
            f"Received: {input_signature=!r}"
        )
