"""Files: written whole or not at all, and read within bounds, whoever wrote them."""

from keras_vqvae2.files.outside import DamagedFileError, check_zip, read_json, size_of
from keras_vqvae2.files.whole import (
    check_archive,
    digest,
    read_signed_json,
    signed_json,
    sync_folder,
    write,
    write_archive,
    write_text,
)

__all__ = [
    "DamagedFileError",
    "check_archive",
    "check_zip",
    "digest",
    "read_json",
    "read_signed_json",
    "signed_json",
    "size_of",
    "sync_folder",
    "write",
    "write_archive",
    "write_text",
]
