"""Files that are whole or not there, and that tell whether they are still what was written."""

import contextlib
import hashlib
import json
import os
import zipfile
from pathlib import Path

from keras_vqvae2.files.outside import DamagedFileError, check_zip, read_json, size_of

_SEAL = b"sha256:"
_DIGEST_SIZE = 64  # hexadecimal digits
_CHECKSUM = "checksum"
_CHUNK = 1 << 20


def write(path, save, writer=0):
    """Write a file whole or not at all, so that it outlives a kill and a loss of power.

    It is written beside its place, flushed to disk and moved, and the folder is flushed.

    Args:
        path: of the file.
        save: function of a path, in the same folder and of the same suffix, that writes there.
        writer: number of this process among those that may write the file at once.

    Raises:
        OSError: if it cannot be written, with the path; what was there before is intact.

    Example:

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "note.txt"
    >>> write(file, lambda partial: partial.write_text("whole"))
    >>> file.read_text()
    'whole'
    """
    path = Path(path)
    partial = path.with_name(f"writing_{writer or ''}{path.name}")
    try:
        save(partial)
        with open(partial, "r+b") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)  # it may be what fills the disk
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def write_text(path, text, writer=0):
    """As `write`, of a text.

    Args:
        path: of the file.
        text: what it is to hold.
        writer: see `write`.

    Raises:
        OSError: if it cannot be written.
    """
    write(path, lambda partial: partial.write_text(text, encoding="utf-8"), writer)


def sync_folder(folder):
    """Flush what a folder lists to disk, where the system can.

    Args:
        folder: path.
    """
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def digest(path):
    """Return the SHA-256 of a file, 64 hexadecimal digits.

    Args:
        path: of the file.
    """
    with open(path, "rb") as file:
        return _digest(file, os.path.getsize(path))


def signed_json(fields):
    """Return a JSON object as text, with a field that holds the SHA-256 of the others.

    Args:
        fields: dict of JSON values.

    Returns:
        The text; its layout does not matter to `read_signed_json`.
    """
    return json.dumps({**fields, _CHECKSUM: _json_digest(fields)}, indent=2) + "\n"


def read_signed_json(path):
    """Read what `signed_json` gave; an object without a checksum, of before, is taken as it is.

    Args:
        path: of the file.

    Returns:
        The fields, without the checksum.

    Raises:
        DamagedFileError: if it is no JSON object, or another one than was written.
        OSError: if it cannot be read.
    """
    fields = read_json(path)
    if not isinstance(fields, dict):
        raise DamagedFileError(f"{path} is damaged: it must hold a JSON object")
    if fields.pop(_CHECKSUM, None) not in (None, _json_digest(fields)):
        raise DamagedFileError(f"{path} is damaged: it is not what was written")
    return fields


def _json_digest(fields):
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def write_archive(path, save):
    """As `write`, of a zip archive (`.npz`, `.keras`), which gets its SHA-256 as its comment.

    Every program that reads such archives passes over the comment.

    Args:
        path: of the file.
        save: function of a path that writes the archive there.

    Raises:
        OSError: if it cannot be written.
    """

    def save_sealed(partial):
        save(partial)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.comment = _SEAL + _DIGEST_SIZE * b"0"
        size = os.path.getsize(partial) - _DIGEST_SIZE
        with open(partial, "r+b") as file:
            value = _digest(file, size)
            file.seek(size)
            file.write(value.encode())

    write(path, save_sealed)


def check_archive(path):
    """Refuse a zip archive that is not what was written, or that would unpack to more than it is.

    One without a checksum of its own, of before there was one, is held to those that zip has for
    its members.

    Args:
        path: of the file.

    Raises:
        DamagedFileError: if it is cut short or changed, in a sentence with its name.
        OSError: if it cannot be read.
    """
    size = size_of(path)
    with open(path, "rb") as file:
        file.seek(max(0, size - _DIGEST_SIZE - len(_SEAL)))
        end = file.read()
        if end.startswith(_SEAL):
            file.seek(0)
            intact = _digest(file, size - _DIGEST_SIZE) == end[len(_SEAL) :].decode("ascii", "?")
        else:
            check_zip(path)  # before anything is unpacked
            intact = _members_are_intact(file)
    if not intact:
        raise DamagedFileError(f"{path} is damaged: it is not what was written.")
    check_zip(path)


def _members_are_intact(file):
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except Exception:  # of a damaged archive zipfile raises errors of many kinds
        return False


def _digest(file, size):
    """The SHA-256 of an open file's first bytes, never all of them in memory."""
    result = hashlib.sha256()
    while size > 0 and (chunk := file.read(min(_CHUNK, size))):
        result.update(chunk)
        size -= len(chunk)
    return result.hexdigest()
