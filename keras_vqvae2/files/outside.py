"""Files that somebody else may have made: their sizes are known before memory is taken."""

import json
import os
import stat
import zipfile
from pathlib import Path, PurePosixPath

# A hundred times what a manifest of 1,000 classes takes; parsed it becomes some 350 MB at worst.
MOST_JSON_BYTES = 1 << 24


class DamagedFileError(ValueError):
    """A file is not what was written."""


def read_json(path):
    """Read a JSON file of at most `MOST_JSON_BYTES`.

    Args:
        path: of the file.

    Returns:
        What it holds.

    Raises:
        DamagedFileError: if it is no JSON, too large or nested too deep.
        OSError: if it cannot be read.

    Example:

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "config.json"
    >>> file.write_text('{"seed": 3}')
    11
    >>> read_json(file)
    {'seed': 3}
    """
    size_of(path, MOST_JSON_BYTES)
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of its encoding, too
        raise DamagedFileError(f"{path} is damaged: {error}") from None


def size_of(path, most=None):
    """Return the size of a file, or refuse what has none, as a pipe has none.

    Args:
        path: of the file.
        most: bytes that it may have; None for any number.

    Returns:
        int, bytes.

    Raises:
        DamagedFileError: if it is larger, or no file.
        OSError: if it is not there.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise DamagedFileError(f"{path} must be a file. Received: a folder, a pipe or a device")
    if most is not None and found.st_size > most:
        raise DamagedFileError(
            f"{path} must have at most {most:,} bytes. Received: {found.st_size:,}"
        )
    return found.st_size


def check_zip(path):
    """Refuse a zip archive whose members are not as Keras and NumPy write them: as they are.

    They are not compressed, so that all of them are no larger than the archive, and their names
    lead nowhere else.

    Args:
        path: of the file.

    Raises:
        DamagedFileError: if it is no archive of that kind.
        OSError: if it cannot be read.
    """
    size = size_of(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except OSError:
        raise
    except Exception as error:  # of a damaged archive zipfile raises errors of many kinds
        raise DamagedFileError(f"{path} is damaged: {error}") from None
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or stat.S_ISLNK(member.external_attr >> 16):
            raise DamagedFileError(
                f"{path} must hold files of its own. Received: a member {member.filename!r}"
            )
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise DamagedFileError(
                f"{path} must hold its members as they are, neither compressed nor encrypted. "
                f"Received: {member.filename!r}, of {member.file_size:,} bytes"
            )
    total = sum(max(member.file_size, member.compress_size) for member in members)
    if total > size or len({member.filename for member in members}) < len(members):
        raise DamagedFileError(
            f"{path} must be as large as its members, each there once. Received: {size:,} bytes, "
            f"with {len(members)} members of {total:,}"
        )
