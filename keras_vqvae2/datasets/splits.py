"""Deterministic splits of data that comes without any."""

import hashlib

SPLITS = ("train", "validation", "test")


def split_of(key):
    """Return the split that a key belongs to: 85 % of all keys train, 7.5 % validation, 7.5 % test.

    The split is a hash of the key alone, so it holds on every machine, and examples that are added
    later move none of the others.

    Args:
        key: string.

    Returns:
        `"train"`, `"validation"` or `"test"`.

    Example:

    >>> split_of("emoji32/0")
    'train'
    """
    digest = hashlib.sha256(key.encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "train" if share < 0.85 else "validation" if share < 0.925 else "test"


def check_split(split):
    """Raise a ValueError for anything but the names in `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(SPLITS)}. Received: split={split!r}")
