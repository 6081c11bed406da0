import dataclasses
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import pytest
from fake_vqvae import FakeVQVAE, random_images

from keras_vqvae2.datasets import (
    Augmentation,
    CodeBatches,
    CodeManifest,
    ImageData,
    extract_codes,
    weights_fingerprint,
)
from keras_vqvae2.models import VQVAE2

IMAGES = random_images(50)
LABELS = np.arange(50) % 7
DATA = ImageData.from_arrays(IMAGES, LABELS, label_names="abcdefg", name="noise", split="train")


def _files(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(Path(directory).rglob("*"))
        if path.is_file()
    }


def _read(directory, **options):
    """All codes and labels of a folder, in the order of the data."""
    elements = list(CodeBatches(directory, 8, **options))
    levels = [np.concatenate(level) for level in zip(*(e[0] for e in elements), strict=True)]
    return levels, np.concatenate([e[1] for e in elements])


@pytest.fixture
def codes(tmp_path):
    extract_codes(FakeVQVAE(), DATA, tmp_path / "codes", batch_size=7, shard_size=16)
    return tmp_path / "codes"


def test_codes_are_those_of_the_encoder(codes):
    levels, labels = _read(codes, vqvae=FakeVQVAE())
    for level, expected in zip(levels, FakeVQVAE().encode(IMAGES), strict=True):
        np.testing.assert_array_equal(level, expected, strict=True)
    np.testing.assert_array_equal(labels, LABELS.astype("int32"), strict=True)


def test_attributes_describe_the_codes(codes):
    batches = CodeBatches(codes, 8)
    assert batches.code_shapes == ((2, 3), (4, 6))
    assert batches.num_embeddings == (16, 70_000)
    assert batches.num_classes == 7
    assert batches.num_examples == 50
    assert batches.fingerprint == weights_fingerprint(FakeVQVAE())
    assert batches.manifest.label_names == tuple("abcdefg")
    assert batches.manifest.source["name"] == "noise"


def test_shards_are_plain_arrays_small_where_they_can_be(codes):
    assert sorted(path.name for path in codes.iterdir()) == [
        "manifest.json",
        *(f"shard-0000{i}" for i in range(4)),
    ]
    shard = codes / "shard-00003"
    names = ["SHA256SUMS", "bottom.npy", "labels.npy", "top.npy"]
    assert sorted(path.name for path in shard.iterdir()) == names
    arrays = [np.load(shard / f"{name}.npy", allow_pickle=False) for name in ("top", "bottom")]
    assert [(a.dtype.name, a.shape) for a in arrays] == [
        ("uint16", (2, 2, 3)),
        ("int32", (2, 4, 6)),  # 70,000 codes do not fit 16 bits
    ]


def test_a_shuffled_epoch_holds_every_example_once_with_its_label(codes):
    batches = CodeBatches(codes, 8, shuffle=True, seed=5)
    expected = FakeVQVAE().encode(IMAGES)
    rows_of = {code.tobytes(): row for row, code in enumerate(expected[1])}
    seen = []
    for (top, bottom), labels in batches:
        rows = [rows_of[code.tobytes()] for code in bottom]
        np.testing.assert_array_equal(top, expected[0][rows])
        np.testing.assert_array_equal(labels, LABELS[rows])
        seen += rows
    assert sorted(seen) == list(range(50))
    assert seen != sorted(seen)


@pytest.mark.parametrize(("balance", "share"), [(0.0, 0.2), (0.5, 1 / 3), (1.0, 0.5)])
def test_rare_classes_are_drawn_as_often_as_the_balance_says(tmp_path, balance, share):
    rare = np.arange(50) % 5 == 0
    data = ImageData.from_arrays(IMAGES, rare.astype(int))
    extract_codes(FakeVQVAE(), data, tmp_path, batch_size=7, shard_size=16)
    batches = CodeBatches(tmp_path, 8, shuffle=True, seed=3, balance=balance)
    rows_of = {code.tobytes(): row for row, code in enumerate(FakeVQVAE().encode(IMAGES)[1])}
    drawn = []
    for batches.epoch in range(100):
        for (_, bottom), labels in (batches[index] for index in range(len(batches))):
            rows = [rows_of[code.tobytes()] for code in bottom]
            np.testing.assert_array_equal(labels, rare[rows])
            drawn += rows
    assert len(drawn) == 100 * 50
    assert set(drawn) == set(range(50))
    assert rare[drawn].mean() == pytest.approx(share, abs=0.03)


def test_a_balanced_order_depends_on_the_seed_and_the_epoch_alone(codes):
    def order(epoch, **options):
        batches = CodeBatches(codes, 50, **{"shuffle": True, "balance": 0.5, "seed": 1, **options})
        batches.epoch = epoch
        return batches[0][0][1].tobytes()

    assert order(4) == order(4)
    assert len({order(4), order(5), order(4, seed=2), order(4, balance=1.0)}) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"balance": 0.5}, r"`balance` must be 0 without labels or without shuffle=True.*=False"),
        ({"balance": 0.5, "shuffle": True, "with_labels": False}, "with_labels=False"),
        ({"balance": 1.5, "shuffle": True}, r"`balance` must lie in \[0, 1\]"),
        ({"balance": True, "shuffle": True}, "balance=True"),
    ],
)
def test_a_balance_that_cannot_be_is_refused(codes, options, message):
    with pytest.raises(ValueError, match=message):
        CodeBatches(codes, 8, **options)


def test_later_passes_are_augmented_and_the_first_is_not(tmp_path):
    options = {"flip": True, "shift": 1, "seed": 3, "noise": 9.0}
    manifest = extract_codes(
        FakeVQVAE(), DATA, tmp_path, batch_size=16, shard_size=32, passes=3, **options
    )
    assert manifest.num_examples == 150
    levels, labels = _read(tmp_path)
    augment = Augmentation(**options)
    passes = [IMAGES] + [augment(IMAGES, np.arange(50), number) for number in (1, 2)]
    for level, expected in zip(levels, FakeVQVAE().encode(np.concatenate(passes)), strict=True):
        np.testing.assert_array_equal(level, expected)
    np.testing.assert_array_equal(labels, np.tile(LABELS, 3))
    assert (levels[1][50:100] != levels[1][:50]).any()


def test_images_without_labels_give_codes_alone(tmp_path):
    extract_codes(FakeVQVAE(), IMAGES, tmp_path)
    batches = CodeBatches(tmp_path, 50)
    assert batches.num_classes is None
    ((top, _),) = batches[0]
    np.testing.assert_array_equal(top, FakeVQVAE().encode(IMAGES)[0])


def test_labels_can_be_left_out(codes):
    assert len(CodeBatches(codes, 8, with_labels=False)[0]) == 1


def test_progress_counts_all_examples(codes):
    calls = []
    extract_codes(FakeVQVAE(), DATA, codes, shard_size=16, progress=lambda *c: calls.append(c))
    assert calls == [(16, 50), (32, 50), (48, 50), (50, 50)]  # nothing was left to do
    calls.clear()
    extract_codes(
        FakeVQVAE(), DATA, codes.parent / "new", batch_size=10, progress=lambda *c: calls.append(c)
    )
    assert calls == [(10, 50), (20, 50), (30, 50), (40, 50), (50, 50)]


def test_an_interrupted_extraction_goes_on_and_ends_the_same(codes, tmp_path):
    def stop(done, total):
        if done > 20:
            raise KeyboardInterrupt

    options = {"batch_size": 7, "shard_size": 16}
    with pytest.raises(KeyboardInterrupt):
        extract_codes(FakeVQVAE(), DATA, tmp_path / "cut", progress=stop, **options)
    with pytest.raises(ValueError, match=r"incomplete: 3 of 4 shards.*Call `extract_codes` again"):
        CodeBatches(tmp_path / "cut", 8)
    vqvae = FakeVQVAE()
    extract_codes(vqvae, DATA, tmp_path / "cut", **options)
    assert vqvae.images_encoded == 50 - 16
    assert _files(tmp_path / "cut") == _files(codes)


def test_a_killed_extraction_goes_on_and_ends_the_same(codes, tmp_path):
    directory = tmp_path / "killed"
    program = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from fake_vqvae import FakeVQVAE, random_images
from keras_vqvae2.datasets import ImageData, extract_codes

class SlowVQVAE(FakeVQVAE):
    def encode(self, images, batch_size):
        print("encoding", flush=True)
        time.sleep(0.05)
        return super().encode(images)

images, labels = random_images(50), [i % 7 for i in range(50)]
data = ImageData.from_arrays(
    images, labels, label_names="abcdefg", name="noise", split="train"
)
extract_codes(SlowVQVAE(), data, {str(directory)!r}, batch_size=1, shard_size=16)
"""
    # JAX starts faster, and the weights have one fingerprint on both backends.
    backend = "jax" if find_spec("jax") else keras.backend.backend()
    environment = {**os.environ, "KERAS_BACKEND": backend}
    process = subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    )
    limit = threading.Timer(120, process.kill)
    limit.start()
    for _ in range(40):  # into the third shard
        process.stdout.readline()
    process.kill()
    process.communicate()
    limit.cancel()
    whole = sorted(path.name for path in directory.glob("shard-?????"))
    assert whole == ["shard-00000", "shard-00001"]
    times = {name: (directory / name / "top.npy").stat().st_mtime_ns for name in whole}
    with pytest.raises(ValueError, match="incomplete"):
        CodeBatches(directory, 8)

    (directory / "shard-00002.partial").mkdir(exist_ok=True)  # as a kill within the writing leaves
    (directory / "shard-00002.partial" / "top.npy").write_bytes(b"half")
    extract_codes(FakeVQVAE(), DATA, directory, batch_size=7, shard_size=16)
    assert _files(directory) == _files(codes)
    assert times == {n: (directory / n / "top.npy").stat().st_mtime_ns for n in whole}


def test_a_missing_shard_is_written_again(codes):
    files = _files(codes)
    for path in (codes / "shard-00001").iterdir():
        path.unlink()
    (codes / "shard-00001").rmdir()
    with pytest.raises(ValueError, match="incomplete: 1 of 4 shards"):
        CodeBatches(codes, 8)
    extract_codes(FakeVQVAE(), DATA, codes, shard_size=16)
    assert _files(codes) == files


def test_codes_of_other_weights_are_refused(codes):
    other = FakeVQVAE(weight=1)
    message = "made by other weights. Load the weights that made them, or extract the codes again"
    with pytest.raises(ValueError, match=message):
        CodeBatches(codes, 8, vqvae=other)
    files = _files(codes)
    with pytest.raises(ValueError, match=message):
        extract_codes(other, DATA, codes, shard_size=16)
    assert _files(codes) == files


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (DATA, {"shard_size": 8}, "shard_size=8 for 16"),
        (DATA, {"flip": True, "passes": 2}, "num_examples=100 for 50, passes=2 for 1"),
        (ImageData.from_arrays(IMAGES[::-1], LABELS), {}, "source=.*label_names=None for"),
        ((IMAGES, LABELS[::-1]), {}, "source="),
    ],
)
def test_a_folder_of_another_extraction_is_refused(codes, data, options, message):
    with pytest.raises(ValueError, match=f"begun with other options. Give the same.*{message}"):
        extract_codes(FakeVQVAE(), data, codes, **{"shard_size": 16, **options})


def test_shards_of_unknown_origin_are_refused(codes):
    (codes / "manifest.json").unlink()
    with pytest.raises(ValueError, match="`directory` must not hold shards without a manifest"):
        extract_codes(FakeVQVAE(), DATA, codes, shard_size=16)
    with pytest.raises(ValueError, match="`directory` must hold codes that `extract_codes` wrote"):
        CodeBatches(codes, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not a manifest of codes"),
        ("[]", "is not a manifest of codes"),
        ('{"format_version": 1}', "is not a manifest of codes"),
        ('{"format_version": 9}', "must have format version 1.* Received: version 9"),
    ],
)
def test_a_corrupt_manifest_is_named(codes, text, message):
    (codes / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        CodeManifest.load(codes)


@pytest.mark.parametrize("name", ["../../secret", "/etc/secret", "a/b"])
def test_a_manifest_cannot_lead_out_of_its_folder(codes, name):
    manifest = CodeManifest.load(codes)
    dataclasses.replace(manifest, level_names=(name, *manifest.level_names[1:])).save(codes)
    with pytest.raises(ValueError, match=f"plain level names. Received: '{name}'"):
        CodeManifest.load(codes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"passes": 2}, "`passes` must be 1 unless `flip`, `shift` or `noise`.*Received: passes=2"),
        ({"passes": 0}, "`passes` must be an integer of at least 1"),
        ({"noise": 5}, "`noise` must be 0 unless `passes` is at least 2.*noise=5, passes=1"),
        ({"noise": -5, "passes": 2}, "`noise` must be a number from 0 to 255"),
        ({"shard_size": 0}, "`shard_size` must be an integer of at least 1"),
        ({"batch_size": 0}, "`batch_size` must be an integer of at least 1"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        extract_codes(FakeVQVAE(), DATA, tmp_path / "codes", **options)
    assert not (tmp_path / "codes").exists()


def test_the_manifest_is_read_as_it_was_written(codes):
    manifest = CodeManifest.load(codes)
    assert manifest.complete
    manifest.save(codes)
    assert CodeManifest.load(codes) == manifest
    assert json.loads((codes / "manifest.json").read_text())["level_names"] == ["top", "bottom"]


def test_codes_older_than_an_option_go_on_without_it(codes):
    fields = json.loads((codes / "manifest.json").read_text())
    del fields["augmentation"]["noise"], fields["checksum"]
    (codes / "manifest.json").write_text(json.dumps(fields))
    assert extract_codes(FakeVQVAE(), DATA, codes, shard_size=16).complete


def test_a_batch_takes_the_memory_of_its_rows(tmp_path):
    extract_codes(FakeVQVAE(), np.tile(IMAGES, (200, 1, 1, 1)), tmp_path)
    size = (tmp_path / "shard-00000" / "bottom.npy").stat().st_size
    batches = CodeBatches(tmp_path, 8, shuffle=True)
    batches[0]
    tracemalloc.start()
    batches[1]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 128 + 10_000 * 24 * 4
    assert peak < size / 50


def test_the_real_model(tmp_path):
    keras.utils.set_random_seed(0)
    sizes = {"filters": 2, "num_residual_blocks": 1, "embedding_dim": 2, "num_embeddings": 8}
    vqvae = VQVAE2((8, 12, 3), strides=(2, 2), **sizes)
    extract_codes(vqvae, DATA, tmp_path, batch_size=32, shard_size=32)
    levels, labels = _read(tmp_path, vqvae=vqvae)
    for level, expected in zip(levels, vqvae.encode(IMAGES, batch_size=32), strict=True):
        np.testing.assert_array_equal(level, expected)
    np.testing.assert_array_equal(labels, LABELS)

    again = VQVAE2.from_config(vqvae.get_config())
    again.set_weights(vqvae.get_weights())
    assert weights_fingerprint(again) == weights_fingerprint(vqvae)
    vqvae.compile("adam")
    vqvae.optimizer.build(vqvae.trainable_variables)
    assert weights_fingerprint(again) == weights_fingerprint(vqvae)
    vqvae.quantizers[0].sums.assign(vqvae.quantizers[0].sums + 1e-6)
    with pytest.raises(ValueError, match="made by other weights"):
        CodeBatches(tmp_path, 8, vqvae=vqvae)


def test_parts_together_are_the_whole(tmp_path):
    options = {"batch_size": 7, "shard_size": 16}
    extract_codes(FakeVQVAE(), DATA, tmp_path / "whole", **options)
    encoders = [FakeVQVAE(), FakeVQVAE()]
    for index, encoder in enumerate(encoders):
        manifest = extract_codes(encoder, DATA, tmp_path / "parts", part=(index, 2), **options)
        # Only the part that finds all shards written completes the folder.
        assert manifest.complete == CodeManifest.load(tmp_path / "parts").complete == (index == 1)
    assert [encoder.images_encoded for encoder in encoders] == [32, 18]
    assert _files(tmp_path / "parts") == _files(tmp_path / "whole")


def _hurt(file, damage):
    data = file.read_bytes()
    if damage == "removed":
        file.unlink()
    elif damage == "flipped":
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    else:
        file.write_bytes(data[: int(damage * len(data))])


@pytest.mark.parametrize("damage", ["removed", "flipped", 0, 0.1, 0.9])
@pytest.mark.parametrize("name", ["top.npy", "labels.npy", "SHA256SUMS"])
def test_a_damaged_shard_is_named_and_made_again(codes, name, damage):
    files = _files(codes)
    _hurt(codes / "shard-00001" / name, damage)
    if (name, damage) != ("SHA256SUMS", "removed"):  # as of codes of before there were any
        with pytest.raises(ValueError, match=r"codes/shard-00001 is damaged. Call `extract_codes`"):
            CodeBatches(codes, 8)
        vqvae = FakeVQVAE()
        assert extract_codes(vqvae, DATA, codes, shard_size=16).complete
        assert vqvae.images_encoded == 16
        assert _files(codes) == files
    _read(codes)


@pytest.mark.parametrize("place", range(10, 800, 79))
def test_a_changed_manifest_is_named(codes, place):
    file = codes / "manifest.json"
    text = file.read_bytes()
    file.write_bytes(text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :])
    with pytest.raises(ValueError, match=r"manifest.json"):
        CodeBatches(codes, 8)
