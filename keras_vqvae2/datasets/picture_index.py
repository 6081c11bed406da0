"""The headers of a folder's pictures, kept from one opening to the next.

A million headers take minutes to read, a million sizes and times seconds. So of a large folder what
was read is kept in Keras's own folder, `~/.keras` or what `KERAS_HOME` names, and a header is read
again where the size or the time of its file has changed.
"""

import contextlib
import hashlib
import os
from pathlib import Path

import numpy as np

from keras_vqvae2 import files
from keras_vqvae2.files.arrays import open_arrays

# Fewer pictures are read as soon as they are looked up.
LEAST_PICTURES = 1_000
_FORMAT = 1
_FIELDS = ("bytes", "times", "heights", "widths", "channels", "decoded")


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
        self._root = root
        self._file = index_file(root) if len(pictures) >= LEAST_PICTURES else None
        self._known = {} if self._file is None else _read(self._file)
        self._stamps = {path: _stamp(f"{root}{os.sep}{path}") for path in pictures}
        self._changed = self._known.keys() != self._stamps.keys()

    def get(self, path, decoded):
        """Return `((height, width), channels)` of a picture, or None if it has to be read.

        Args:
            path: of the picture, relative to the folder.
            decoded: whether it must have been decoded whole.
        """
        *stamp, header, was_decoded = self._known.get(path, (None, None, None, False))
        if tuple(stamp) == self._stamps[path] and was_decoded >= decoded:
            return header
        self._changed = True
        return None

    def keep(self, headers, decoded):
        """Keep what is known now; a folder that cannot be written to is left as it is.

        Args:
            headers: `{path: ((height, width), channels)}` of intact pictures.
            decoded: whether they were decoded whole.
        """
        if self._file is None or not self._changed:
            return
        rows = [
            (*self._stamps[path], *size, channels, decoded or self._was_decoded(path))
            for path, (size, channels) in headers.items()
            if self._stamps[path] is not None
        ]
        columns = np.array(rows, np.int64).reshape(len(rows), len(_FIELDS)).T
        names = b"\0".join(os.fsencode(path) for path in headers if self._stamps[path] is not None)
        arrays = dict(zip(_FIELDS, columns, strict=True))
        arrays |= {"names": np.frombuffer(names, np.uint8), "format": np.array(_FORMAT)}
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            files.write(self._file, lambda file: np.savez(file, **arrays), os.getpid())

    def _was_decoded(self, path):
        *stamp, _, decoded = self._known.get(path, (None, None, None, False))
        return decoded and tuple(stamp) == self._stamps[path]


def _stamp(path):
    """The size and the time of a file, which change with it; None if it is gone."""
    try:
        status = os.stat(path)
    except OSError:  # reading it will say why
        return None
    return status.st_size, status.st_mtime_ns


def _read(file):
    """What an intact index holds, `{path: (bytes, time, ((height, width), channels), decoded)}`."""
    try:
        with open_arrays(file) as arrays:
            names = arrays["names"].tobytes()
            if arrays["format"] != _FORMAT or not names:
                return {}
            columns = [arrays[field].tolist() for field in _FIELDS]
    except (OSError, ValueError, KeyError):
        return {}
    paths = map(os.fsdecode, names.split(b"\0"))
    return {
        path: (size, time, ((height, width), channels), bool(decoded))
        for path, size, time, height, width, channels, decoded in zip(paths, *columns, strict=True)
    }
