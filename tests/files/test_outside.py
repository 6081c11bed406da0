import os
import stat
import zipfile

import pytest

from keras_vqvae2 import files
from keras_vqvae2.files.outside import MOST_JSON_BYTES, DamagedFileError


def archive(path, name="a", compression=zipfile.ZIP_STORED, mode=0o644):
    member = zipfile.ZipInfo(name)
    member.compress_type = compression
    member.external_attr = mode << 16
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(member, bytes(1 << 20))
    return path


def test_an_archive_of_plain_members_is_taken(tmp_path):
    files.check_zip(archive(tmp_path / "a.zip"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression": zipfile.ZIP_DEFLATED}, "neither compressed.*Received: 'a', of 1,048,576"),
        ({"name": "../a"}, "files of its own. Received: a member '../a'"),
        ({"name": "/etc/a"}, "files of its own"),
        ({"name": "assets\\..\\a"}, "files of its own"),
        ({"mode": stat.S_IFLNK | 0o777}, "files of its own"),
    ],
)
def test_an_archive_that_unpacks_to_more_or_elsewhere_is_refused(tmp_path, options, message):
    file = archive(tmp_path / "a.zip", **options)
    with pytest.raises(DamagedFileError, match=f"a.zip must hold .*{message}"):
        files.check_zip(file)


def test_members_that_share_their_bytes_are_refused(tmp_path):
    file = archive(tmp_path / "a.zip")
    with zipfile.ZipFile(file, "a") as open_archive:
        open_archive.writestr("b", b"")
        first, second = open_archive.infolist()
        second.header_offset, second.CRC = first.header_offset, first.CRC
        second.file_size = second.compress_size = first.file_size
    with pytest.raises(DamagedFileError, match="as large as its members.*2 members of 2,097,152"):
        files.check_zip(file)


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(DamagedFileError, match="a.zip is damaged"):
        files.check_zip(tmp_path / "a.zip")


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "\x80", "[" + "9" * 10_000 + "]"])
def test_json_that_cannot_be_read_is_a_sentence(tmp_path, text):
    file = tmp_path / "a.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(DamagedFileError, match="a.json is damaged"):
        files.read_json(file)


def test_a_file_is_held_to_its_size_before_it_is_read(tmp_path):
    file = tmp_path / "a.json"
    with open(file, "w") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(DamagedFileError, match=f"at most {MOST_JSON_BYTES:,} bytes.*Received: 1,0"):
        files.read_json(file)


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.json")  # to read it would have no end
    with pytest.raises(DamagedFileError, match="a.json must be a file"):
        files.read_json(tmp_path / "a.json")
