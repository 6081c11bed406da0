"""Random access to the records of TFRecord files, which have no index of their own."""

import struct
from collections.abc import Sequence

import numpy as np

# Of a record its length and a checksum of that stand before it, and a checksum of its own behind:
# https://www.tensorflow.org/tutorials/load_data/tfrecord, "TFRecords format details".
_HEAD = struct.Struct("<QI")
_TAIL = 4


class TFRecords(Sequence[bytes]):
    """The records of some files, as bytes, each read when it is asked for.

    To find them, each file is gone through once, from head to head: its records are not read.

    Args:
        parts: `(path, skip, take)` of each file: how many records are left out, and how many
            follow that are not.

    Raises:
        ValueError: if a file is damaged, or has fewer records.
    """

    def __init__(self, parts):
        self.paths, files, places = [], [], []
        for path, skip, take in parts:
            places.append(_places(path, skip + take)[skip:])
            files.append(np.full(take, len(self.paths)))
            self.paths.append(path)
        self._files = np.concatenate(files) if files else np.empty(0, int)
        self._places = np.concatenate(places) if places else np.empty((0, 2), int)

    def __len__(self):
        return len(self._files)

    def __getitem__(self, index):
        start, size = self._places[index].tolist()
        with open(self.paths[self._files[index]], "rb") as file:
            file.seek(start)
            return file.read(size)


def _places(path, count):
    """Where the first records of a file begin, and their sizes: int64 `[count, 2]`."""
    places = np.empty((count, 2), np.int64)
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        start = 0
        for record in range(count):
            file.seek(start)
            head = file.read(_HEAD.size)
            size = _HEAD.unpack(head)[0] if len(head) == _HEAD.size else end
            places[record] = start + _HEAD.size, min(size, end)
            start += _HEAD.size + size + _TAIL
            if start > end:
                raise ValueError(f"{path} is damaged: it must hold {count} records, has {record}")
    return places
