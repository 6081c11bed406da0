"""Codes, configs and pictures that somebody else may have made; of models see `tests/files`."""

import io
import json
import struct
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "datasets"))
from fake_vqvae import FakeVQVAE, random_images

from keras_vqvae2.cli.config import Config
from keras_vqvae2.datasets import CodeBatches, extract_codes
from keras_vqvae2.datasets.decoding import read_picture
from keras_vqvae2.datasets.manifest import write_sums
from keras_vqvae2.export.serving import serve_command

STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MOST_SECONDS = 10
MOST_BYTES = 64 << 20
IMAGES = random_images(20)
# What somebody may write for any value of a JSON file.
ODD = [
    *(None, True, -1, 0, 0.5, 10**12, 2**70, 1e999, float("nan"), "", "x", "\x00", "../.."),
    *([], [[]], [None], ["a"] * 3, [10**12], {}, {"a": 1}, {"size": "tiny"}),
]


def peak():
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def outcome(function, *arguments):
    """What a function returns, or the one sentence of its error, in bounded memory and time."""
    measured = PEAK.exists()
    if measured:
        PEAK.write_text("5")  # of what the process had at most, from here on
        before = peak()
    begun = time.monotonic()
    try:
        result, sentence = function(*arguments), None
    except (ValueError, OSError) as error:
        result, sentence = None, str(error)
        assert "\n" not in sentence
    assert time.monotonic() - begun < MOST_SECONDS
    assert not measured or peak() - before < MOST_BYTES
    return result, sentence


def places(value, path=()):
    """The paths of all entries of nested dictionaries."""
    for key, inner in value.items():
        yield (*path, key)
        if isinstance(inner, dict):
            yield from places(inner, (*path, key))


def variants(fields):
    """The fields, with each entry in turn replaced by each odd value."""
    for path in places(fields):
        for odd in ODD:
            changed = json.loads(json.dumps(fields))
            inner = changed
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = odd
            yield path, changed


@pytest.fixture
def codes(tmp_path):
    extract_codes(FakeVQVAE(), (IMAGES, np.arange(20) % 3), tmp_path / "codes", shard_size=8)
    return tmp_path / "codes"


def read_codes(directory):
    batches = CodeBatches(directory, 7)
    return [batches[index] for index in range(len(batches))]


def test_any_manifest_is_read_or_a_sentence(codes):
    file = codes / "manifest.json"
    fields = json.loads(file.read_text())
    del fields["checksum"]
    refused = 0
    for path, changed in variants(fields):
        file.write_text(json.dumps(changed))
        batches, sentence = outcome(read_codes, codes)
        refused += sentence is not None
        assert sentence is None or str(codes) in sentence, path
        if batches is not None:  # then of a field that says nothing of the rows
            assert sum(len(batch[0][0]) for batch in batches) == 20
    assert refused > 100


def test_a_manifest_of_a_trillion_rows_is_a_sentence(codes):
    file = codes / "manifest.json"
    fields = json.loads(file.read_text())
    del fields["checksum"]
    file.write_text(json.dumps({**fields, "num_examples": 10**12, "shard_size": 1}))
    _, sentence = outcome(read_codes, codes)
    assert "incomplete: 999999999997 of 1000000000000 shards are missing" in sentence


def test_a_shard_that_claims_terabytes_is_a_sentence(codes):
    for count in (10**12, 8):  # by its header, by its size
        file = codes / "shard-00001" / "top.npy"
        with open(file, "wb") as open_file:
            header = {"descr": "<u2", "fortran_order": False, "shape": (count, 2, 2)}
            np.lib.format.write_array_header_1_0(open_file, header)
            if count == 8:
                open_file.truncate(1 << 40)
        (codes / "shard-00001" / "SHA256SUMS").unlink(missing_ok=True)
        _, sentence = outcome(read_codes, codes)
        assert "shard-00001 is damaged" in sentence


def test_a_shard_of_pickles_is_a_sentence(codes):
    file = codes / "shard-00001" / "top.npy"
    np.save(file, np.full((8, *np.load(file).shape[1:]), None), allow_pickle=True)
    write_sums(codes / "shard-00001")
    _, sentence = outcome(read_codes, codes)
    assert "shard-00001 is damaged" in sentence


def test_links_out_of_a_folder_of_codes_are_no_shards(codes, tmp_path):
    expected = read_codes(codes)
    for name in ("shard-00001", "shard-00001/top.npy"):
        (codes / name).rename(tmp_path / "elsewhere")
        (codes / name).symlink_to(tmp_path / "elsewhere")
        _, sentence = outcome(read_codes, codes)
        assert "shard-00001 is damaged" in sentence
        extract_codes(FakeVQVAE(), (IMAGES, np.arange(20) % 3), codes, shard_size=8)
        np.testing.assert_equal(read_codes(codes), expected)
        elsewhere = tmp_path / "elsewhere"
        assert elsewhere.exists()  # what it led to is nobody's to remove
        elsewhere.rename(tmp_path / f"kept_{len(name)}")


def test_any_config_is_read_or_a_sentence(tmp_path):
    file = tmp_path / "config.json"
    fields = json.loads(Config(run_dir=tmp_path).model_dump_json())
    for path, changed in variants({**fields, "size": "tiny", "wiring": "best", "other": 1}):
        file.write_text(json.dumps(changed))
        _, sentence = outcome(Config.load, file)
        assert sentence is None or sentence.endswith(f" In {file}."), path


def png(width, height, data):
    """A PNG of one channel that claims a size, whatever its pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", data)]
    result = b"\x89PNG\r\n\x1a\n"
    for kind, content in [*chunks, (b"IEND", b"")]:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        result += struct.pack(">I", len(content)) + kind + content + checksum
    return result


def with_text(size):
    """A small PNG with a text that unpacks to so many bytes."""
    picture = png(1, 1, zlib.compress(b"\0\0"))
    content = b"Comment\0\0" + zlib.compress(bytes(size))
    chunk = struct.pack(">I", len(content)) + b"zTXt" + content
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + content))
    return picture[:33] + chunk + picture[33:]


def of_format(name):
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, name)
    return file.getvalue()


PICTURES = {
    "of a terapixel": png(10**6, 10**6, b""),
    "whose pixels unpack without end": png(8, 8, zlib.compress(bytes(1 << 28))),
    "whose text unpacks without end": with_text(1 << 28),
    "of a GIF of a gigapixel": b"GIF89a" + struct.pack("<HH", 40_000, 40_000) + bytes(64),
    "of a BMP of a terapixel": of_format("BMP")[:18]
    + struct.pack("<ii", 2**30, 2**30)
    + of_format("BMP")[26:],
    "in PostScript, a program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_read_or_a_sentence(tmp_path, name):
    file = tmp_path / "a.png"
    file.write_bytes(PICTURES[name])
    pixels, sentence = outcome(read_picture, file, 1)
    if sentence is None:
        assert pixels.shape == (8, 8, 1)  # of the pixels that there is room for
    else:
        assert sentence.startswith(f"{file} is ")


def test_a_description_of_a_served_model_is_read_or_a_sentence(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").touch()
    for name in ("", "a b", "../../etc", "; rm -rf x"):
        (tmp_path / "models.config").write_text(f'name: "{name}"')
        _, sentence = outcome(serve_command, tmp_path)
        assert "models.config must name its model by letters" in sentence
