import errno
import os

import numpy as np
import pytest

from keras_vqvae2 import files


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path):
    file = tmp_path / "note.txt"
    files.write_text(file, "before")

    def fill_the_disk(partial):
        partial.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device.*note.txt"):
        files.write(file, fill_the_disk)
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_leaves_what_was_saved(tmp_path):
    resource = pytest.importorskip("resource")
    file = tmp_path / "arrays.npz"
    files.write_archive(file, lambda partial: np.savez(partial, array=np.arange(10)))
    before = file.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match=r"File too large.*arrays.npz"):
            files.write_archive(file, lambda partial: np.savez(partial, array=np.arange(10_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_no_change_of_an_archive_goes_unnoticed(tmp_path):
    file = tmp_path / "arrays.npz"
    array = np.arange(5)
    files.write_archive(file, lambda partial: np.savez(partial, array=array))
    files.check_archive(file)
    whole = file.read_bytes()

    def is_noticed(data):
        file.write_bytes(data)
        try:
            files.check_archive(file)
        except files.DamagedFileError:
            return True
        with np.load(file) as arrays:
            np.testing.assert_array_equal(arrays["array"], array)
        return False

    for place in range(len(whole)):
        flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        # Of the word before the checksum only: what it is of is then checked without it.
        assert is_noticed(flipped) or len(whole) - 71 <= place < len(whole) - 64
        # Cut within the checksum the rest is whole.
        assert is_noticed(whole[:place]) or place >= len(whole) - 71


def test_an_archive_without_a_checksum_is_held_to_those_of_its_members(tmp_path):
    file = tmp_path / "arrays.npz"
    np.savez(file, array=np.arange(1000))
    files.check_archive(file)
    data = bytearray(file.read_bytes())
    data[500] ^= 1
    file.write_bytes(data)
    with pytest.raises(files.DamagedFileError, match=r"arrays.npz is damaged: it is not what"):
        files.check_archive(file)
