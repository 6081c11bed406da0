"""Names of splits, and deterministic splits of data that comes without any."""

import hashlib
import re
import unicodedata

SPLITS = ("train", "validation", "test")
# As people name the folders of a split; COCO numbers them by the year, CycleGAN has trainA, trainB.
_SPELLINGS = re.compile(
    r"(?:(?P<train>train|training|trn)"
    r"|(?P<validation>validation|validate|valid|val|dev|devel|development|eval|evaluation)"
    r"|(?P<test>test|testing|tst))"
    r"[\W_]*(?:sets?|splits?|data|images?|imgs?|(?-i:[AB]))?[\W_]*\d*[\W_]*",
    re.IGNORECASE,
)


def named_split(folder):
    """Return the split that a folder's name says it is, or None.

    Example:

    >>> [named_split(name) for name in ("train", "VAL", "test_set", "train2017", "trains")]
    ['train', 'validation', 'test', 'train', None]
    """
    found = _SPELLINGS.fullmatch(folder.strip())
    return found.lastgroup if found else None


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
    # File systems differ in how they compose an accent, and may hold names that are no text.
    content = unicodedata.normalize("NFC", key).encode(errors="surrogateescape")
    digest = hashlib.sha256(content).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "train" if share < 0.85 else "validation" if share < 0.925 else "test"


def check_split(split):
    """Raise a ValueError for anything but the names in `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(SPLITS)}. Received: split={split!r}")
