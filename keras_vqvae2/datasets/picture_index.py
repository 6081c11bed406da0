"""The headers of a folder's pictures, kept from one opening to the next.

A million headers take minutes to read, a million sizes and times seconds. So of a large folder what
was read is kept in Keras's own folder, `~/.keras` or what `KERAS_HOME` names, and a header is read
again where the size or the time of its file has changed.
"""

import contextlib
import hashlib
import itertools
import os
from pathlib import Path

import numpy as np

from keras_vqvae2 import files
from keras_vqvae2.files.arrays import open_arrays

# Fewer pictures are read as soon as they are looked up.
LEAST_PICTURES = 1_000
_FORMAT = 1
# Of a picture: the size and the time of its file, its own size, whether it was decoded whole.
_COLUMNS = ("bytes", "time", "height", "width", "channels", "decoded")


def index_file(root):
    """Return the path of the file that the index of a folder is kept in.

    Args:
        root: path of the folder.

    Returns:
        `pathlib.Path`.
    """
    name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:32]
    home = Path(os.environ.get("KERAS_HOME") or Path("~", ".keras").expanduser())
    return home / "keras_vqvae2" / "folders" / f"{name}.npz"


class PictureIndex:
    """What is known of the pictures of a folder, of those files that have not changed since.

    Args:
        root: path of the folder.
        pictures: paths of its pictures, relative to it.
    """

    def __init__(self, root, pictures):
        self._pictures = pictures
        self._file = index_file(root) if len(pictures) >= LEAST_PICTURES else None
        self._names, known = ([], None) if self._file is None else _read(self._file)
        # One row a picture, as arrays: a million tuples would keep the garbage collector busy.
        self._rows = np.zeros((len(pictures), len(_COLUMNS)), np.int64)
        self._found = 0
        if self._file is not None:
            self._rows[:, :2] = [_stamp(f"{root}{os.sep}{path}") for path in pictures]
        if self._names:
            places = {name: place for place, name in enumerate(self._names)}
            places = np.array([places.get(path, -1) for path in pictures])
            same = (places >= 0) & (known[places, :2] == self._rows[:, :2]).all(axis=1)
            self._rows[same] = known[places[same]]

    def headers(self, decoded):
        """Return what is known.

        Args:
            decoded: whether of pictures that were decoded whole alone.

        Returns:
            `{path: ((height, width), channels)}`.
        """
        is_known = self._rows[:, 5 if decoded else 4] > 0
        self._found = np.count_nonzero(is_known)
        shared = {}  # one tuple a size
        return {
            path: shared.setdefault((height, width, channels), ((height, width), channels))
            for path, (height, width, channels) in zip(
                itertools.compress(self._pictures, is_known),
                self._rows[is_known, 2:5].tolist(),
                strict=True,
            )
        }

    def keep(self, headers, decoded):
        """Keep what is known now; where that cannot be written, all goes on without.

        Args:
            headers: as of `headers`, of all pictures that are intact, in their order.
            decoded: whether they were decoded whole.
        """
        if self._file is None or self._found == len(headers) == len(self._names):
            return
        kept = np.array([path in headers for path in self._pictures])
        rows = self._rows[kept]
        sizes = [(*size, channels) for size, channels in headers.values()]
        rows[:, 2:5] = np.reshape(sizes, (-1, 3))
        rows[:, 5] |= decoded
        names = np.frombuffer(os.fsencode("\0".join(headers)), np.uint8)
        arrays = {"rows": rows, "names": names, "format": np.array(_FORMAT)}
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            files.write(self._file, lambda file: np.savez(file, **arrays), os.getpid())


def _stamp(path):
    """The size and the time of a file, which change with it."""
    try:
        status = os.stat(path)
    except OSError:  # reading it will say why
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _read(file):
    """The names and the rows of an index, if it is there and intact."""
    try:
        with open_arrays(file) as arrays:
            names = os.fsdecode(arrays["names"].tobytes()).split("\0")
            rows = arrays["rows"]
            intact = arrays["format"] == _FORMAT and rows.shape == (len(names), len(_COLUMNS))
    except (OSError, ValueError, KeyError):
        return [], None
    return (names, rows) if intact else ([], None)
