"""Archives of NumPy's arrays, whose headers are held to their sizes before any is read."""

import zipfile

import numpy as np

from keras_vqvae2.files.outside import DamagedFileError
from keras_vqvae2.files.whole import check_archive


def open_arrays(path):
    """Open a `.npz` archive of plain arrays that are as large as their headers claim.

    Args:
        path: of the file.

    Returns:
        `numpy.lib.npyio.NpzFile`, to be closed by a `with`.

    Raises:
        DamagedFileError: if it is damaged, unpacks to more than it is, or holds anything else.
        OSError: if it cannot be read.

    Example:

    >>> import tempfile
    >>> from pathlib import Path
    >>> file = Path(tempfile.mkdtemp()) / "arrays.npz"
    >>> np.savez(file, codes=np.arange(3))
    >>> with open_arrays(file) as arrays:
    ...     print(arrays["codes"])
    [0 1 2]
    """
    check_archive(path)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                if _size_by_header(file) != member.file_size:
                    raise DamagedFileError(
                        f"{path} must hold plain arrays as large as their headers claim. "
                        f"Received: {member.filename!r} of {member.file_size:,} bytes"
                    )
    return np.load(path, allow_pickle=False)


def _size_by_header(file):
    """The bytes that a `.npy` file must have; None of one that holds no plain array."""
    try:
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, _, dtype = read(file)
    except Exception:  # of a damaged header NumPy raises errors of many kinds
        return None
    if dtype.hasobject or min(shape, default=0) < 0:
        return None
    size = dtype.itemsize
    for length in shape:  # of Python's integers, which do not overflow
        size *= length
    return file.tell() + size
